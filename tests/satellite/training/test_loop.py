"""The training loop: the best epoch is kept, patience ends it, and a diverging one is reported."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from include.core.errors import BadInputError
from include.satellite.training.loop import (
    CHECKPOINT,
    Clock,
    State,
    Training,
    adam_state,
    best_epoch,
    copy_weights,
    fingerprint,
    fit,
    measure,
    read_state,
    restore_adam,
    seen_from,
    train_epoch,
    write_state,
)
from include.satellite.training.machine import Machine
from include.satellite.training.networks import PatchCnn
from include.satellite.training.schemas import Epoch

INPUTS = torch.linspace(-1, 1, 40)[:, None]
TARGETS = 3 * INPUTS[:, 0]


@pytest.fixture
def training(tmp_path: Path) -> Callable[..., Training]:
    """A training of a line through the origin, with some settings."""

    def make(**settings: object) -> Training:
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(1, 1), nn.Flatten(0))
        defaults = {
            "network": network, "batch": lambda rows: (INPUTS[rows], TARGETS[rows]), "loss": functional.mse_loss,
            "score": lambda outputs, truth: (outputs - truth).abs().sum(), "drawn": np.arange(30),
            "tune": np.arange(30, 40),
            "epochs": 5, "patience": 5, "learning_rate": 0.1, "batch_size": 8, "seed": 0, "symmetric": False,
            "machine": Machine(torch.device("cpu"), "cpu", "float32"), "threads": 1, "checkpoints": tmp_path / "state",
            "fingerprint": "line",
        }  # fmt: skip
        return Training(**(defaults | settings))

    return make


def epochs(*losses: float) -> list[Epoch]:
    return [Epoch(epoch=number, train_loss=0, tune_loss=loss, tune_score=0) for number, loss in enumerate(losses, 1)]


def test_the_best_epoch_is_the_first_of_the_least_loss() -> None:
    assert best_epoch(epochs(0.5, 0.2, 0.3, 0.2)) == 2


def test_the_network_ends_with_the_weights_of_its_best_epoch(training: Callable[..., Training]) -> None:
    line = training(epochs=9, patience=2, learning_rate=2.0)
    record = fit(line)
    losses = [epoch.tune_loss for epoch in record.history]
    assert record.best_epoch < record.epochs
    assert losses[record.best_epoch - 1] == min(losses)
    loss, score = measure(line, line.network, line.tune)
    assert loss == losses[record.best_epoch - 1]
    assert score == record.history[record.best_epoch - 1].tune_score


def test_patience_ends_a_training(training: Callable[..., Training]) -> None:
    record = fit(training(epochs=30, patience=1, learning_rate=2.0))
    assert record.stopped_early
    assert record.epochs == record.best_epoch + 1


def test_a_finished_training_is_resumed_from_its_checkpoint_without_another_epoch(
    training: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = training()
    record = fit(first)
    monkeypatch.setattr("include.satellite.training.loop.train_epoch", lambda *_: pytest.fail("it had ended"))
    again = training()
    assert fit(again) == record
    weights = copy_weights(again.network)
    assert all(torch.equal(weights[name], value) for name, value in copy_weights(first.network).items())


def test_an_epoch_lowers_the_loss_and_its_mean_is_returned(training: Callable[..., Training]) -> None:
    line = training()
    optimizer = torch.optim.SGD(line.network.parameters(), lr=0.0)
    unchanged, _ = measure(line, line.network, line.drawn)
    clock = Clock(5, len(line.drawn))
    assert train_epoch(line, line.network, optimizer, 1, clock) == pytest.approx(unchanged, rel=1e-6)
    optimizer = torch.optim.SGD(line.network.parameters(), lr=0.1)
    train_epoch(line, line.network, optimizer, 2, clock)
    assert measure(line, line.network, line.drawn)[0] < unchanged


def test_without_a_tuning_part_the_training_part_chooses_the_best_epoch(training: Callable[..., Training]) -> None:
    line = training(drawn=np.array([3, 1, 3]), tune=np.array([], int))
    assert line.tuned_on.tolist() == [1, 3]
    assert fit(line).tuned_on == "train"


def test_a_diverging_training_is_reported_with_its_remedy(training: Callable[..., Training]) -> None:
    nothing = torch.full_like(TARGETS, torch.nan)
    line = training(batch=lambda rows: (INPUTS[rows], nothing[rows]))
    with pytest.raises(BadInputError, match=r"loss of epoch 1 became NaN or infinite .*: use a smaller learning rate"):
        fit(line)


def test_each_epoch_is_logged_with_its_losses(
    training: Callable[..., Training], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(5, 30)
    clock.samples_done(30, 1, 5)
    with caplog.at_level(logging.INFO):
        clock.epoch_ended(epochs(0.25)[0], 1, training())
    assert "Epoch 1/5: loss 0.0000, on the tuning part 0.2500 (best: epoch 1)" in caplog.text
    assert "samples/s" in caplog.text


def test_a_long_epoch_is_logged_while_it_lasts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("include.satellite.training.loop.LOG_INTERVAL_S", 0)
    with caplog.at_level(logging.INFO):
        Clock(5, 100).samples_done(25, 1, 5)
    assert "Epoch 1/5, 25 % of it" in caplog.text


def test_patches_are_seen_from_eight_sides() -> None:
    patches = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).reshape(2, 3, 4, 4)
    views = [seen_from(patches, side) for side in range(8)]
    assert torch.equal(views[0], patches)
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8
    for view in views:
        assert torch.equal(view.flatten(2).sort().values, patches.flatten(2))
        assert torch.equal(view[0, 1], view[0, 0] + 16)


# checkpoints

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
    restored = read_state(tmp_path, "mark")
    assert restored is not None
    assert restored.history == HISTORY
    for ours, theirs in ((restored.weights, state.weights), (restored.best, state.best), (restored.adam, state.adam)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_state_of_other_data_or_parameters_is_no_use(tmp_path: Path) -> None:
    write_state(tmp_path, "mark", _state())
    assert read_state(tmp_path, "other") is None


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", None], ids=["empty", "a pickle", "cut in half"])
def test_a_broken_state_is_no_use(tmp_path: Path, content: bytes | None) -> None:
    write_state(tmp_path, "mark", _state())
    path = tmp_path / CHECKPOINT
    complete = path.read_bytes()
    path.write_bytes(complete[: len(complete) // 2] if content is None else content)
    assert read_state(tmp_path, "mark") is None


def test_there_may_be_no_state(tmp_path: Path) -> None:
    assert read_state(tmp_path / "nowhere", "mark") is None


def test_restored_moments_lie_in_memory_as_their_weights_do(tmp_path: Path) -> None:
    write_state(tmp_path, "mark", _state())
    restored = read_state(tmp_path, "mark")
    assert restored is not None
    network = PatchCnn(size=8).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    restore_adam(optimizer, restored.adam)
    for weights, moments in optimizer.state.items():
        assert moments["exp_avg"].stride() == weights.stride()
    assert json.dumps(sorted(adam_state(optimizer))) == json.dumps(sorted(restored.adam))


def test_the_fingerprint_knows_data_and_settings(tmp_path: Path) -> None:
    data = tmp_path / "data.bin"
    data.write_bytes(b"one")
    first = fingerprint([data], {"seed": 1})
    assert fingerprint([data], {"seed": 1}) == first
    assert fingerprint([data], {"seed": 2}) != first
    data.write_bytes(b"two")
    assert fingerprint([data], {"seed": 1}) != first
