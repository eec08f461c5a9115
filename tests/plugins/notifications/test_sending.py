"""A notice reaches real receivers, says what went wrong when it cannot, and never gives its addresses away."""

import asyncio
import json

import pytest

import tests.airflow_env  # noqa: F401 - before Airflow is imported
from include.core.settings import get_settings
from include.reporting.notices import Notice
from plugins.notifications.sending import claim, give_up, send, send_from_trigger
from tests.receivers import mail_server, web_hook

pytestmark = pytest.mark.airflow

NOTICE = Notice(
    subject="energy_pipeline failed: energy-analyzer",
    sentence="meter.csv: line 3 & <line 4> are odd",
    facts={"Run": "manual__1", "Step": "", "In Airflow": "https://airflow.example.org/dags/energy_pipeline?a=1&b=2"},
)


@pytest.fixture
def connection(monkeypatch, data_dir):
    """Name a connection that holds these addresses."""

    def make(*urls):
        monkeypatch.setenv("GROUNDTRUTH_NOTIFY_CONNECTION", "team")
        monkeypatch.setenv("AIRFLOW_CONN_TEAM", json.dumps({"conn_type": "generic", "password": "\n".join(urls)}))
        get_settings.cache_clear()

    return make


def test_a_mail_has_a_short_subject_and_its_text_both_plain_and_as_html(connection):
    with mail_server() as server:
        connection(server.url)
        assert send(NOTICE)
    [mail] = server.mails
    assert (mail["subject"], mail["to"]) == (NOTICE.subject, "team@example.org")
    text, html = (mail.get_body([kind]).get_content() for kind in ("plain", "html"))
    assert "meter.csv: line 3 & <line 4> are odd" in text
    assert "In Airflow: https://airflow.example.org/dags/energy_pipeline?a=1&b=2" in text
    assert "<p>meter.csv: line 3 &amp; &lt;line 4&gt; are odd</p>" in html
    assert "Step" not in text, "what is not known is left out"


def test_every_address_is_told(connection):
    with web_hook() as hook, mail_server() as server:
        connection(hook.url, server.url)
        assert send(NOTICE)
    assert [message["title"] for message in hook.told] == [mail["subject"] for mail in server.mails] == [NOTICE.subject]


def test_the_triggerer_sends_without_blocking_its_loop_and_reports_what_went_wrong(connection, monkeypatch, caplog):
    with web_hook() as hook:
        connection(hook.url)
        assert asyncio.run(send_from_trigger(NOTICE))
    assert [message["title"] for message in hook.told] == [NOTICE.subject]
    monkeypatch.delenv("AIRFLOW_CONN_TEAM")
    assert not asyncio.run(send_from_trigger(NOTICE))
    assert "was not sent" in caplog.text
    monkeypatch.delenv("GROUNDTRUTH_NOTIFY_CONNECTION")
    get_settings.cache_clear()
    assert not asyncio.run(send_from_trigger(NOTICE))


def test_an_address_that_fails_keeps_no_other_from_being_told(connection, caplog):
    with web_hook(status=500) as broken, web_hook() as hook:
        connection("nosuch://s3cret/T0KEN", broken.url, hook.url)
        assert send(NOTICE)
    assert len(hook.told) == 1
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "notice: address 1 of 3 is no Apprise URL",
        "notice: 'energy_pipeline failed: energy-analyzer' did not reach address 2 of 3 (json)",
    ]
    assert "s3cret" not in caplog.text
    assert "T0KEN" not in caplog.text


def test_with_nobody_there_it_is_a_warning_and_no_error(connection, caplog):
    connection("json://reporter:s3cret@127.0.0.1:9/T0KEN")
    assert not send(NOTICE)
    assert "did not reach address 1 of 1 (json)" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("password", "warning"), [(None, "`team` isn't defined"), ("", "the connection holds no address")]
)
def test_a_connection_that_is_missing_or_empty_is_a_warning(connection, monkeypatch, caplog, password, warning):
    connection()
    if password is None:
        monkeypatch.delenv("AIRFLOW_CONN_TEAM")
    assert not send(NOTICE)
    assert warning in caplog.text


def test_without_configuration_nothing_is_sent_claimed_or_said(data_dir, caplog):
    assert not send(NOTICE)
    assert not claim(data_dir / "notices" / "failure")
    assert caplog.text == ""
    assert not data_dir.exists()


def test_one_claim_is_granted_and_another_after_it_was_given_up(connection, data_dir):
    connection()
    mark = data_dir / "notices" / "failure"
    assert [claim(mark), claim(mark)] == [True, False]
    give_up(mark)
    assert claim(mark)


def test_a_folder_that_cannot_be_written_is_something_to_tell(connection, data_dir, caplog):
    connection()
    data_dir.write_text("a file where the folder should be")
    assert claim(data_dir / "notices" / "failure")
    assert "cannot be written" in caplog.text
