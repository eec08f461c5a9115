"""What monitoring receives of a run, over OTLP, as a collector gets it."""

import atexit
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from include.core.settings import get_settings
from tests.airflow_runs import run_dag
from tests.plots import empty_plots

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def collector():
    """A receiver of OTLP over HTTP; its metrics by name, each value with its tags, the last of each series."""
    received = {}

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            request = ExportMetricsServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            for metric in (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics):
                data = getattr(metric, metric.WhichOneof("data"))
                for point in data.data_points:
                    tags = {attribute.key: attribute.value.string_value for attribute in point.attributes}
                    value = point.sum if hasattr(point, "sum") else getattr(point, point.WhichOneof("value"))
                    received.setdefault(metric.name, {})[tuple(sorted(tags.items()))] = value
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", received
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def received(collector, tmp_path_factory, blank_png):
    """What a run that is green and one that fails have sent.

    OpenTelemetry takes one provider for the life of a process, so both runs share it.
    """
    from airflow.sdk._shared.observability.metrics.otel_logger import flush_otel_metrics
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
    from opentelemetry.metrics import get_meter_provider

    address, received = collector
    data = tmp_path_factory.mktemp("measured") / "data"
    (data / "inbox").mkdir(parents=True)
    (data / "inbox" / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.MonkeyPatch.context() as patch, empty_plots(blank_png):
        patch.setenv("GROUNDTRUTH_DATA_DIR", str(data))
        patch.setenv("AIRFLOW__METRICS__OTEL_ON", "True")
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        patch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        patch.setenv("OTEL_METRICS_EXPORTER", "otlp")
        stats.initialize(factory=get_stats_factory(), export_legacy_names=False)
        assert run_dag("energy_pipeline", {"households": 5}).state == "success"
        assert run_dag("energy_pipeline", {"csv": ["bad.csv"]}).state == "failed"
        get_meter_provider().shutdown()
        atexit.unregister(flush_otel_metrics)
    stats.initialize(factory=get_stats_factory(), export_legacy_names=False)
    get_settings.cache_clear()
    return received


def series(received, name):
    """Values of a metric by step."""
    return {dict(tags)["step"]: value for tags, value in received.get(f"airflow.groundtruth.{name}", {}).items()}


def test_a_run_sends_durations_record_counts_and_key_figures(received):
    assert set(series(received, "step.duration")) == {"energy-generator", "energy-analyzer", "report-generator"}
    read, accepted, rejected = (series(received, f"records.{kind}") for kind in ("read", "accepted", "rejected"))
    step = "energy-analyzer"
    assert read[step] == accepted[step] + rejected[step] > 0
    assert series(received, "figure.energy_kwh")[step] > 0
    assert {dict(tags)["dag"] for tags in received["airflow.groundtruth.step.duration"]} == {"energy_pipeline"}


def test_only_the_failed_step_is_counted_with_the_kind_of_its_fault(received):
    [tags] = [dict(tags) for tags in received["airflow.groundtruth.step.failed"]]
    assert (tags["step"], tags["kind"]) == ("energy-generator", "bad_input")
