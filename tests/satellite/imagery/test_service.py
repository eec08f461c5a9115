"""Faults of the service: what passes is waited for, within bounds; what does not is said in words, at once."""

import json
import os
import random
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import get_ident

import pytest
import requests
from oauthlib.oauth2.rfc6749.errors import MissingTokenError, OAuth2Error
from sentinelhub.config import SHConfig
from sentinelhub.exceptions import DownloadFailedException, OutOfRequestsException

from include.core.artifacts import sha256
from include.core.errors import BadInputError, GroundtruthError, SetupError, TransientError
from include.satellite.artifacts import SEARCH
from include.satellite.imagery import client
from include.satellite.imagery.client import Hub
from include.satellite.imagery.demo import URL_VARIABLE
from include.satellite.imagery.service import (
    network_remedy,
    prepare_network,
    response_of,
    retry_after_s,
    service_config,
    translate,
    unreadable_scene,
)
from include.satellite.imagery.store import scene_path
from include.satellite.sensors.evalscript import download_script
from include.satellite.sensors.sentinel2 import SENTINEL2


def failed(function):
    with pytest.raises(GroundtruthError) as error:
        function()
    return error.value


def renderings(api):
    """How many scenes were requested since the last `forget`."""
    return sum(request["operation"] == "process" for request in api.served)


@pytest.mark.parametrize("kind", ["server_error", "dropped", "rate_limit", "expired_token"])
@pytest.mark.parametrize("operation", ["catalog", "process"])
def test_what_passes_is_waited_for(api, make_run, kind, operation):
    rule = {"retry_after": 50} if kind == "rate_limit" else {}
    api.fault(kind, operation=operation, times=1, **rule)
    imagery = make_run().go()
    assert len(imagery.acquisitions) == 4
    assert not imagery.unusable


def test_a_fault_of_the_token_passes_too(api, make_run):
    api.fault("server_error", operation="token", times=2)
    assert len(make_run().search().chosen) == 4


@pytest.mark.parametrize(
    ("kind", "rule", "words"),
    [
        ("server_error", {"status": 503}, "answers 503 after several attempts"),
        ("dropped", {}, "cannot be reached"),
        ("rate_limit", {"retry_after": 20}, "still answers 429"),
    ],
)
def test_what_does_not_pass_is_a_fault_of_the_task_after_bounded_attempts(
    api, make_run, monkeypatch, kind, rule, words
):
    monkeypatch.setattr(
        client,
        "BOUNDS",
        replace(client.BOUNDS, rate_limit_attempts=5),
    )
    run = make_run()
    run.search()
    api.fault(kind, operation="process", **rule)
    api.forget()
    error = failed(lambda: run.download(0))
    assert isinstance(error, TransientError)
    assert words in str(error)
    assert len(api.served) - 1 == (5 if kind == "rate_limit" else 3)  # beside the token
    assert not (run.files / "acquisitions" / "000.json").exists()
    api.heal()
    assert run.download(0)[0].usable


def test_retry_after_is_honoured_in_milliseconds(api, make_run):
    run = make_run()
    run.search()
    api.fault("rate_limit", operation="process", times=1, retry_after=700)
    started = time.monotonic()
    run.download(0)
    assert 0.7 <= time.monotonic() - started < 30


def test_a_wait_beyond_the_wall_time_is_not_begun(api, make_run):
    run = make_run()
    run.search()
    api.fault("rate_limit", operation="process", retry_after=3_600_000)
    api.forget()
    error = failed(lambda: run.download(0))
    assert isinstance(error, TransientError)
    assert "asks to wait 3600 s, longer than the 2 s that a request may take" in str(error)
    assert renderings(api) == 1


@pytest.mark.parametrize("retry_after", [300, 1])
def test_a_rate_limit_for_ever_ends(api, make_run, retry_after):
    """Also where something between us and the service states a second, which we read as a millisecond."""
    run = make_run()
    run.search()
    api.fault("rate_limit", operation="process", retry_after=retry_after)
    api.forget()
    assert isinstance(failed(lambda: run.download(0)), TransientError)
    bounds = client.BOUNDS
    assert 1 < renderings(api) <= min(bounds.rate_limit_attempts, 1 + 1000 * bounds.wall_time_s / retry_after)


def test_wrong_credentials_fail_at_once_and_say_where_they_go(api, make_run):
    api.fault("wrong_credentials")
    error = failed(make_run().search)
    assert isinstance(error, SetupError)
    for word in ("credentials are wrong", "Invalid client", "`sentinel_hub`", "SH_CLIENT_ID", "SH_CLIENT_SECRET"):
        assert word in str(error)
    assert len(api.served) == 1


def test_a_token_that_stays_refused_is_a_matter_of_credentials(api, make_run):
    api.fault("expired_token")
    error = failed(make_run().search)
    assert isinstance(error, SetupError)
    assert "credentials are wrong" in str(error)


@pytest.mark.parametrize("source", ["sentinelhub", "cdse"])
def test_missing_credentials_fail_before_anything_is_asked(make_run, monkeypatch, source):
    monkeypatch.delenv("SH_CLIENT_ID", raising=False)
    monkeypatch.setenv("SH_CLIENT_SECRET", "s")
    with pytest.raises(SetupError, match=rf"{source}: there are no credentials; .*`sentinel_hub`.*SH_CLIENT_ID"):
        make_run(source=source).search()


def test_the_real_service_gets_the_credentials_of_the_environment(monkeypatch):
    monkeypatch.setenv("SH_CLIENT_ID", "me")
    monkeypatch.setenv("SH_CLIENT_SECRET", "mine")
    config = service_config("sentinelhub")
    assert (config.sh_client_id, config.sh_client_secret) == ("me", "mine")
    assert config.sh_base_url == "https://services.sentinel-hub.com"
    assert config.sh_token_url.startswith("https://services.sentinel-hub.com/auth/")


def test_the_demo_needs_no_credentials(monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:4711")
    config = service_config("demo")
    assert (config.sh_base_url, config.sh_client_id) == ("http://127.0.0.1:4711", "demo")
    assert config.sh_token_url.startswith("http://127.0.0.1:4711/auth/")


def test_the_response_to_a_failed_request_is_found_wherever_the_client_keeps_it():
    response = requests.Response()
    response.status_code = 401
    error = requests.HTTPError(response=response)
    assert response_of(error) is response
    assert response_of(DownloadFailedException("no answer", request_exception=error)) is response
    assert response_of(requests.ConnectionError()) is None


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, SetupError, "the credentials are wrong (no); set the Airflow connection `sentinel_hub`"),
        (403, SetupError, "refused (403): the account's processing units are used up"),
        (429, TransientError, "answers 429 after several attempts: no"),
        (500, TransientError, "answers 500 after several attempts: no"),
        (404, BadInputError, "refuses the request (404): no"),
    ],
)
@pytest.mark.parametrize("body", ['{"error": {"message": "no"}}', '{"description": "no"}', " no "])
def test_a_refusal_is_translated_by_its_status_in_the_words_of_the_service(monkeypatch, status, kind, words, body):
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:4711")
    response = requests.Response()
    response.status_code, response._content, response.url = status, body.encode(), "http://127.0.0.1:4711/api"
    fault = translate(requests.HTTPError(response=response), "demo", service_config("demo"))
    assert type(fault) is kind
    assert str(fault).startswith("demo (http://127.0.0.1:4711): ")
    assert words in str(fault)


def test_a_used_up_quota_fails_at_once_in_words(api, make_run):
    run = make_run()
    run.search()
    api.fault("quota", operation="process")
    api.forget()
    error = failed(lambda: run.download(0))
    assert isinstance(error, SetupError)
    assert "processing units are used up" in str(error)
    assert renderings(api) == 1


def test_a_quota_that_ends_amid_the_previews_ends_the_search(api, make_run):
    api.fault("quota", operation="process", skip=3)
    error = failed(make_run().search)
    assert isinstance(error, SetupError)
    previews = [each["status"] for each in api.served if each["operation"] == "process"]
    assert previews.count(200) == 3
    assert len(previews) <= 5  # those under way ended; nothing more was begun


def test_a_service_that_is_not_there_is_said_so(make_run, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setattr(client, "BOUNDS", client.Bounds(attempts=2, first_wait_s=0.02))
    with pytest.raises(TransientError, match=r"demo \(http://127\.0\.0\.1:9\): cannot be reached: Connection refused"):
        make_run().search()


def test_a_band_that_the_service_lacks_is_named(api, make_run):
    hub = Hub("demo", SENTINEL2)
    run = make_run()
    plan = run.search()
    script = download_script(SENTINEL2, ["B99", "SCL"])
    day = plan.candidates[0].datetime
    with pytest.raises(BadInputError, match=r"demo .*: refuses the request \(400\): .*B99"):
        hub.render(script, plan.grid, day, day + timedelta(seconds=1))


def test_two_requests_at_once_are_under_way_and_no_more(api, make_run, monkeypatch):
    api.fault("latency", operation="process", seconds=0.1)
    under_way, counts = set(), []

    @contextmanager
    def counted(folder):
        with slot(folder):
            under_way.add(get_ident())
            counts.append(len(under_way))
            yield
            under_way.discard(get_ident())

    slot = client.request_slot
    monkeypatch.setattr(client, "request_slot", counted)
    run = make_run(days_back=60)
    started = time.monotonic()
    plan = run.search()
    assert time.monotonic() - started >= len(plan.candidates) * 0.1 / 2
    assert max(counts) == 2


MIXED = (
    "server_error", "dropped", "rate_limit", "expired_token", "truncated", "zeros", "garbage", "wrong_size", "quota",
)  # fmt: skip


def go(run):
    """A whole run: its imagery, or the sentence that it failed with."""
    try:
        return run.go(), None
    except (TransientError, SetupError, BadInputError) as error:
        return None, str(error)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_goes_wrong_the_end_is_right_or_says_why_and_a_rerun_fetches_only_what_is_missing(
    api, make_run, monkeypatch, seed
):
    monkeypatch.setattr(
        client, "BOUNDS", client.Bounds(attempts=3, first_wait_s=0.01, rate_limit_attempts=5, wall_time_s=2)
    )
    chance = random.Random(seed)  # noqa: S311
    for kind in chance.sample(MIXED, chance.randint(1, 4)):
        probability = round(chance.uniform(0.05, 0.35), 2)
        api.fault(kind, operation="process", probability=probability, seed=seed, retry_after=30)
    run = make_run()
    imagery, why = go(run)
    assert imagery or why
    if imagery:
        plan = SEARCH.read(run.files)
        complete = len(imagery.acquisitions) == len(plan.chosen)
        assert complete or len(imagery.unusable) == len(plan.chosen) + len(plan.reserves) - len(imagery.acquisitions)
        assert all(each.reason for each in imagery.unusable)
        assert all(sha256(scene_path(each)) == each.sha256 for each in imagery.acquisitions)
    had = {path.name[:10] for path in (run.files.parent / "data").rglob("*.tif")}
    api.heal()
    api.forget()
    again = make_run().go()
    assert len(again.acquisitions) == 4
    assert not again.unusable
    assert not had & set(api.scenes_served())


def answer(status, url):
    response = requests.Response()
    response.status_code, response.url, response._content = status, url, b"see http://ada:s3cret@host/help"
    return requests.HTTPError(f"refused by {url}", response=response)


ADDRESS = "http://ada:s3cret@host:8070"


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError(f"Failed to parse: {ADDRESS}/api"),
        MissingTokenError(),
        OAuth2Error(description=f"no client at {ADDRESS}"),
        OutOfRequestsException("429"),
        *(answer(status, f"{ADDRESS}/api") for status in (400, 401, 403, 429, 500)),
    ],
    ids=lambda error: f"{type(error).__name__}",
)
def test_no_password_of_an_address_is_written(error):
    """Messages go into logs, records, reports and the terminal."""
    config = SHConfig(use_defaults=True)
    config.sh_base_url, config.sh_token_url = ADDRESS, f"{ADDRESS}/token"
    message = str(translate(error, "demo", config))
    assert "s3cret" not in message
    assert "host:8070" in message


def test_no_password_of_an_address_is_in_the_name_of_a_collection():
    assert "s3cret" not in client._collection("sentinel-2-l2a", ADDRESS).name


def test_retry_after_is_seconds_milliseconds_or_a_date():
    assert retry_after_s("3") == 3
    assert retry_after_s("1500", milliseconds=True) == 1.5
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < retry_after_s(format_datetime(soon, usegmt=True)) <= 30
    assert retry_after_s(format_datetime(soon - timedelta(hours=1), usegmt=True)) == 0
    assert [retry_after_s(text) for text in (None, "", "soon", "nan", "inf")] == [None] * 5


def test_a_rate_limit_is_waited_for_at_least_so_long(api, make_run, monkeypatch):
    monkeypatch.setattr(client, "BOUNDS", replace(client.BOUNDS, least_wait_s=0.5))
    run = make_run()
    run.search()
    api.fault("rate_limit", operation="process", times=1, retry_after=1)
    started = time.monotonic()
    run.download(0)
    assert time.monotonic() - started >= 0.5


def test_loopback_goes_round_a_proxy_and_so_do_hosts_named_in_capitals(monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "intranet.example, 10.0.0.0/8")
    prepare_network()
    hosts = "intranet.example,10.0.0.0/8,127.0.0.1,localhost,::1"
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (hosts, hosts)


def test_a_bundle_of_certificates_is_taken_from_ssl_cert_file_and_must_exist(monkeypatch, tmp_path):
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    bundle = tmp_path / "ca.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with pytest.raises(SetupError, match=r"REQUESTS_CA_BUNDLE: no such file: .*ca\.pem"):
        prepare_network()
    bundle.write_text("")
    prepare_network()
    assert os.environ["REQUESTS_CA_BUNDLE"] == str(bundle)


def test_an_error_of_proxy_or_certificate_names_the_variable(monkeypatch):
    for variable in ("https_proxy", "all_proxy", "ALL_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example:3128")
    url = "https://services.sentinel-hub.com"
    remedy = network_remedy(requests.exceptions.ProxyError(), url)
    assert "proxy.example:3128 of HTTPS_PROXY" in remedy
    assert "services.sentinel-hub.com in NO_PROXY" in remedy
    assert "secret" not in remedy
    assert "REQUESTS_CA_BUNDLE (now: not set)" in network_remedy(requests.exceptions.SSLError(), url)
    assert network_remedy(requests.exceptions.ConnectionError(), url) == ""


def test_only_the_code_of_an_unreadable_scene_excludes_a_date():
    def answered(status, code):
        response = requests.Response()
        response.status_code = status
        response._content = json.dumps({"error": {"code": code, "message": "broken"}}).encode()
        return requests.HTTPError(response=response)

    assert unreadable_scene(answered(400, "SCENE_UNREADABLE")) == "broken"
    assert unreadable_scene(answered(400, "COMMON_BAD_PAYLOAD")) is None
    assert unreadable_scene(answered(500, "SCENE_UNREADABLE")) is None
    assert unreadable_scene(requests.ConnectionError()) is None
