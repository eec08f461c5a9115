"""The Docker door: the only way from a worker to the Docker engine, and the few calls that fit through it.

HAProxy (`haproxy.cfg`) takes the requests in; the policy server (this package) judges them, rebuilds what it lets
through, and alone has the engine's socket. It imports nothing of the rest. docs/guides/docker-door.md is its manual.
"""
