import json
from pathlib import Path

import pytest
import torch

from include.satellite.training.checkpoints import (
    FILE,
    State,
    adam_state,
    fingerprint,
    read_state,
    restore_adam,
    write_state,
)
from include.satellite.training.networks import PatchCnn
from include.satellite.training.schemas import Epoch

HISTORY = [Epoch(epoch=1, train_loss=0.1 + 0.2, tune_loss=1 / 3, tune_score=0.5)]


def _state() -> State:
    network = PatchCnn(size=8).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    network(torch.randn(4, 4, 8, 8)).sum().backward()
    optimizer.step()
    weights = dict(network.state_dict())
    return State(HISTORY, weights, {name: tensor + 1 for name, tensor in weights.items()}, adam_state(optimizer))


def test_a_state_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    state = _state()
    write_state(tmp_path, "mark", state)
    found = read_state(tmp_path, "mark")
    assert found is not None
    assert found.history == HISTORY
    for ours, theirs in ((found.weights, state.weights), (found.best, state.best), (found.adam, state.adam)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_state_of_other_data_or_parameters_is_no_use(tmp_path: Path) -> None:
    write_state(tmp_path, "mark", _state())
    assert read_state(tmp_path, "other") is None


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", None], ids=["empty", "a pickle", "cut in half"])
def test_a_broken_state_is_no_use(tmp_path: Path, content: bytes | None) -> None:
    write_state(tmp_path, "mark", _state())
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert read_state(tmp_path, "mark") is None


def test_there_may_be_no_state(tmp_path: Path) -> None:
    assert read_state(tmp_path / "nowhere", "mark") is None


def test_restored_moments_lie_in_memory_as_their_weights_do(tmp_path: Path) -> None:
    write_state(tmp_path, "mark", _state())
    found = read_state(tmp_path, "mark")
    assert found is not None
    network = PatchCnn(size=8).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    restore_adam(optimizer, found.adam)
    for weights, moments in optimizer.state.items():
        assert moments["exp_avg"].stride() == weights.stride()
    assert json.dumps(sorted(adam_state(optimizer))) == json.dumps(sorted(found.adam))


def test_the_fingerprint_knows_data_and_settings(tmp_path: Path) -> None:
    data = tmp_path / "data.bin"
    data.write_bytes(b"one")
    first = fingerprint([data], {"seed": 1})
    assert fingerprint([data], {"seed": 1}) == first
    assert fingerprint([data], {"seed": 2}) != first
    data.write_bytes(b"two")
    assert fingerprint([data], {"seed": 1}) != first
