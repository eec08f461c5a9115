"""Another Airflow or a proxy in the shell leads no run elsewhere, and the doctor names it."""

import pytest

from include.cli.surroundings import check_surroundings, foreign_settings, own_environment

CONFIG = "[core]\nexecutor = LocalExecutor\nfernet_key = k%y\n[database]\nsql_alchemy_conn = sqlite:////here\n"
OTHER = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": "cat /elsewhere",
    "AIRFLOW__SMTP__SMTP_HOST": "mail.example.org",
    "PATH": "/bin",
}


@pytest.fixture
def home(tmp_path):
    """Airflow's home, with its configuration."""
    (tmp_path / "airflow.cfg").write_text(CONFIG)
    return tmp_path


def test_settings_of_another_airflow_do_not_reach_ours_and_others_do(home):
    assert own_environment(OTHER, home) == {"AIRFLOW__SMTP__SMTP_HOST": "mail.example.org", "PATH": "/bin"}
    assert foreign_settings(OTHER, home) == ["AIRFLOW__CORE__EXECUTOR", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD"]


@pytest.mark.parametrize(
    ("stated", "bypassed"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"no_proxy": "intern, localhost"}, "intern,localhost,127.0.0.1"),
    ],
)
def test_loopback_goes_through_no_proxy(home, stated, bypassed):
    own = own_environment({"HTTPS_PROXY": "http://proxy:3128"} | stated, home)
    assert own == {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": bypassed, "no_proxy": bypassed}
    assert "NO_PROXY" not in own_environment({}, home)


def test_the_doctor_names_each_and_what_becomes_of_it(home, tmp_path):
    (tmp_path / "other" / "airflow").mkdir(parents=True)
    (tmp_path / "other" / "airflow" / "__init__.py").touch()
    environment = OTHER | {
        "AIRFLOW_HOME": "/other",
        "PYTHONPATH": f"{tmp_path / 'other'}:{tmp_path}",
        "http_proxy": "http://proxy:3128",
    }
    assert [(check.status, check.found) for check in check_surroundings(environment, home)] == [
        ("missing", "AIRFLOW_HOME=/other"),
        ("missing", "AIRFLOW__CORE__EXECUTOR, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD"),
        ("fault", f"PYTHONPATH: {tmp_path / 'other'} (airflow)"),
        ("missing", "http_proxy without NO_PROXY for loopback"),
    ]
    assert all(check.remedy for check in check_surroundings(environment, home))


def test_a_shell_without_any_of_that_has_nothing_to_name(home):
    fine = {"AIRFLOW_HOME": str(home), "HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,127.0.0.1"}
    assert list(check_surroundings(fine, home)) == []
