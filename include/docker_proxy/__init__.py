"""The Docker proxy: the only way from a worker to the Docker engine. It forwards the calls of a step, and no others.

HAProxy (`haproxy.cfg`) accepts the requests. The policy server (this package) checks them, rebuilds what it forwards,
and is the only process with the engine's socket. It names no domain and imports nothing of the project outside this
package; images and stores are settings. The manual is docs/guides/docker-proxy.md.
"""
