"""What monitoring receives of a run, over OTLP, as a collector gets it."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.airflow_runs import ROOT

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]


@pytest.fixture
def collector():
    """A receiver of OTLP over HTTP; its metrics by name, each value with its tags, the last of each series."""
    received = {}

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            request = ExportMetricsServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            for metric in (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics):
                data = getattr(metric, metric.WhichOneof("data"))
                for point in data.data_points:
                    tags = {each.key: each.value.string_value for each in point.attributes}
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


def run_energy(address, data, *conf):
    command = [str(Path(sys.executable).with_name("airflow")), "dags", "test", "energy_pipeline", *conf]
    settings = {
        "GROUNDTRUTH_RUN_FOLDER": str(data / "runs" / "energy_pipeline" / "measured"),
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }
    return subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, check=False)


def series(received, name):
    """Values of a metric by step."""
    found = received.get(f"airflow.groundtruth.{name}", {})
    return {dict(tags)["step"]: value for tags, value in found.items()}


def test_a_run_tells_durations_record_counts_and_key_figures(collector, data_dir):
    address, received = collector
    done = run_energy(address, data_dir, "--conf", '{"households": 5}')
    assert done.returncode == 0, done.stdout[-2000:]
    assert set(series(received, "step.duration")) == {"energy-generator", "energy-analyzer", "report-generator"}
    read, accepted, rejected = (series(received, f"records.{kind}") for kind in ("read", "accepted", "rejected"))
    step = "energy-analyzer"
    assert read[step] == accepted[step] + rejected[step] > 0
    assert series(received, "figure.energy_kwh")[step] > 0
    assert series(received, "step.failed") == {}
    assert {dict(tags)["dag"] for tags in received["airflow.groundtruth.step.duration"]} == {"energy_pipeline"}


def test_a_failed_step_is_counted_with_the_kind_of_its_fault(collector, data_dir):
    (data_dir / "inbox").mkdir(parents=True)
    (data_dir / "inbox" / "bad.csv").write_text("a,b\n1,2\n")
    address, received = collector
    done = run_energy(address, data_dir, "--conf", '{"csv": ["bad.csv"]}')
    assert done.returncode == 1
    [tags] = [dict(tags) for tags in received["airflow.groundtruth.step.failed"]]
    assert (tags["step"], tags["kind"]) == ("energy-generator", "bad_input")
