"""`./pipeline housekeeping`: what is old is removed, and `--dry-run` states it before."""

import json
import os


def test_what_is_old_is_removed_and_a_dry_run_states_it(call, data_dir):
    for name in ("old", "new"):
        run = data_dir / "runs" / "energy_pipeline" / name
        run.mkdir(parents=True)
    os.utime(data_dir / "runs" / "energy_pipeline" / "old", (1, 1))
    dry = call("housekeeping", "--dry-run", "--json")
    assert dry.code == 0
    document = json.loads(dry.stdout)
    assert document["dry_run"] is True
    assert {row["subject"]: row["count"] for row in document["removed"]}["runs"] == 1
    assert (data_dir / "runs" / "energy_pipeline" / "old").exists()
    done = call("housekeeping")
    assert "GROUNDTRUTH_KEEP_RUNS_DAYS=90" in done.stdout
    assert [path.name for path in (data_dir / "runs" / "energy_pipeline").iterdir()] == ["new"]
