"""Servers over loopback, and the official client pointed at them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest
import requests

from include.standins.sentinel_hub.scenes import Scenes
from include.standins.sentinel_hub.server import ServerSettings, running
from include.standins.sentinel_hub.simulator import Simulator
from tests.standins.sentinel_hub.api import Api


@pytest.fixture(autouse=True)
def insecure_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    return Simulator()


@pytest.fixture
def serve() -> Iterator[Callable[..., Api]]:
    """Start servers that end with the test."""
    with ExitStack() as stack:
        yield lambda scenes, **settings: Api(stack.enter_context(running(scenes, ServerSettings(**settings))))


@pytest.fixture(scope="session")
def _simulated(simulator: Scenes) -> Iterator[str]:
    with running(simulator) as url:
        yield url


@pytest.fixture
def api(_simulated: str) -> Iterator[Api]:
    """The simulator's server, without faults and without memory of former tests."""
    yield Api(_simulated)
    requests.delete(f"{_simulated}/control/faults", timeout=30)
    requests.delete(f"{_simulated}/control/requests", timeout=30)


@pytest.fixture
def ndvi() -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    def compute(values: dict[str, np.ndarray]) -> np.ndarray:
        red, nir = values["B04"].astype(float), values["B08"].astype(float)
        return (nir - red) / (nir + red)

    return compute
