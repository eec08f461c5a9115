"""The DAG of the inbox takes what arrives in feeds, starts a run for each touched day, and reports what is wrong."""

from contextlib import contextmanager

import pytest

from tests.airflow_runs import file_of, parse_dags, run_dag  # isort: skip - sets Airflow's home first

from tests.feed_files import day_file, make_feed

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def both_dags(monkeypatch):
    """Let Airflow know the DAG whose runs the inbox starts, too."""

    @contextmanager
    def both(bag, _):
        bag.dags |= parse_dags(file_of("energy_pipeline")).dags
        with monkeypatch.context() as patched:
            patched.setattr("airflow.dag_processing.dagbag.BundleDagBag", lambda **_: bag)
            yield

    monkeypatch.setattr("tests.airflow_runs.only_dag", both)


@pytest.fixture(autouse=True)
def no_runs_left():
    """Remove the runs that wait for a scheduler: other tests count those of the same database."""
    yield
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.run_id.like("feed__%")))


def started():
    """The runs of the pipeline that wait for a scheduler, by id, with what they are asked for."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        runs = session.query(DagRun).filter(DagRun.dag_id == "energy_pipeline", DagRun.run_id.like("feed__%")).all()
        return {run.run_id: (str(run.state), run.conf) for run in runs}


def test_each_touched_day_gets_one_run_that_does_what_the_feed_declares(data_dir):
    feed = make_feed(data_dir)
    spring = day_file("2026-03-29", [hour for hour in range(24) if hour != 2])  # the clocks skip it
    (feed / "days.csv").write_text(day_file("2026-03-28") + spring.partition("\n")[2])
    (feed / "broken.csv").write_text("a,b\n1,2\n")
    outcome = run_dag("inbox")
    assert (outcome.state, set(outcome.tasks.values())) == ("success", {"success"})
    runs = started()
    assert [name.rpartition("__")[0] for name in sorted(runs)] == [f"feed__home__2026-03-{day}" for day in (28, 29)]
    [archived] = feed.glob("archive/*/*/days.csv")
    state, conf = runs[max(runs)]
    assert (state, conf) == (
        "queued",
        {
            "timezone": "Europe/Amsterdam",
            "files": [str(archived)],
            "start": "2026-03-28T23:00:00Z",
            "end": "2026-03-29T22:00:00Z",
            "feed": "home/2026-03-29",
        },
    )
    assert "no column holds times" in (feed / "rejected" / "broken.csv.txt").read_text()
    assert run_dag("inbox").tasks["run_day"] == "skipped", "they are under way"
    assert started() == runs


def test_one_run_of_it_at_a_time_takes_files_every_five_minutes():
    dag = parse_dags().dags["inbox"]
    assert (dag.max_active_runs, dag.catchup, dag.schedule.total_seconds()) == (1, False, 300)
