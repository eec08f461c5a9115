"""`./pipeline metrics`: as text, and served to Prometheus, which evaluates the alert rules on them."""

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

from include.cli.metrics import metrics_server, metrics_text
from tests.prerequisites import need
from tests.reporting.runs import broke, plan
from tests.reporting.test_metrics import MONITORING, reported


@pytest.fixture
def server(data_dir):
    from include.core.run_folder import RunFolder

    run = RunFolder(data_dir / "runs" / "energy_pipeline" / "r1")
    plan(run)
    broke(run, "analyze", (1, 2), "error", "no")
    reported(run)
    server = metrics_server("127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_they_are_printed(call, data_dir):
    ended = call("metrics")
    assert (ended.code, "groundtruth_disk_free_bytes" in ended.stdout) == (0, True)


def test_the_server_answers_with_the_same_text_and_nothing_else(server):
    with urllib.request.urlopen(f"http://{server}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        names = [line.partition(" ")[0] for line in answer.read().decode().splitlines()]
    assert names == [line.partition(" ")[0] for line in metrics_text().splitlines()]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{server}/other")


def test_a_real_prometheus_scrapes_a_failed_run_and_its_alert_fires(server, tmp_path):
    program = shutil.which("prometheus")
    need(program, "Prometheus", "Debian: apt install prometheus")
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(MONITORING / "rules.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [server]}]
    Path(tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    process = subprocess.Popen([program, *options, f"--web.listen-address={address}"], stderr=subprocess.DEVNULL)

    def query(expression):
        url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(url) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []

    try:
        deadline = time.monotonic() + 60
        while not (firing := query('ALERTS{alertstate="firing"}')) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert [(alert["metric"]["alertname"], alert["metric"]["dag"]) for alert in firing] == [
            ("RunFailed", "energy_pipeline")
        ]
        dashboard = json.loads((MONITORING / "grafana/dashboards/groundtruth.json").read_text())
        answered = {panel["title"] for panel in dashboard["panels"] if query(panel["targets"][0]["expr"])}
        assert answered >= {"Last run", "Duration of the last run", "Free disk space", "Alerts"}
    finally:
        process.terminate()
        process.wait(20)
