"""`./pipeline metrics`: what Prometheus scrapes, as text or from a small server."""

from __future__ import annotations

from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from include.core.settings import get_settings
from include.pipelines import all_pipelines
from include.reporting.metrics import exposition

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text() -> str:
    """Return the metrics of this deployment, now."""
    return exposition(get_settings().data_dir, all_pipelines()[0], datetime.now(UTC))


def metrics_server(host: str, port: int) -> ThreadingHTTPServer:
    """Return a server that answers `GET /metrics`.

    Args:
        host: Address to listen on.
        port: 0 for any free one.
    """
    return ThreadingHTTPServer((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer with the metrics; anything else is not found."""
        if self.path != "/metrics":
            self.send_error(404)
            return
        content = metrics_text().encode()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the base class
        """Log no scrapes."""
