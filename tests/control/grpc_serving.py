"""gRPC servers that tests run on a free port."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from include.control.client import Endpoint, client_for
from include.control.grpc_server import serving
from include.control.rpc import SERVICE, handlers


def endpoint(port, token=None, **more):
    """The address of a server."""
    return Endpoint("analyzer", f"http://127.0.0.1:{port}", token, protocol="grpc", **more)


@contextmanager
def listening(*handler):
    """Serve handlers, and yield the port."""
    server = grpc.server(ThreadPoolExecutor(4), handler, options=[("grpc.max_send_message_length", -1)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@contextmanager
def answering(seconds=20.0, **behaviours):
    """A client of a service whose methods behave as stated."""

    def missing(request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    methods = {method.name: missing for method in SERVICE.methods}
    with listening(handlers(methods | behaviours)) as port, client_for(endpoint(port), seconds) as client:
        yield client


@contextmanager
def served(service, token=None):
    """Serve a service, and yield a client of it."""
    service.start()
    try:
        with serving(service, "127.0.0.1", 0, token) as port, client_for(endpoint(port, token)) as client:
            yield client
    finally:
        service.stop()
