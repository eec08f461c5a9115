"""Where a training runs: threads, number formats, repeatable bits, batches made ahead."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from include.satellite.training import machine as machine_module
from include.satellite.training.machine import Machine, keep_memory, prefetched, repeatable, split

CPU = Machine(torch.device("cpu"), "cpu", "float32")
BFLOAT16 = Machine(torch.device("cpu"), "cpu", "bfloat16")


def test_without_a_gpu_the_processor_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    machine = Machine.best()
    assert (machine.device.type, machine.name, machine.feeders) == ("cpu", "cpu", 1)


def test_small_batches_use_two_threads_and_large_ones_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert CPU.threads(machine_module.VALUES_WORTH_THREADS) == 8
    assert CPU.threads(machine_module.VALUES_WORTH_THREADS - 1) == 2
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert CPU.threads(1) == 1


def test_layers_run_in_the_precision_of_the_machine() -> None:
    layer, inputs = nn.Linear(2, 2), torch.ones(1, 2)
    for machine, dtype in ((CPU, torch.float32), (BFLOAT16, torch.bfloat16)):
        assert machine.narrow(inputs).dtype == dtype
        with machine.autocast():
            assert layer(inputs).dtype == dtype


def test_on_a_processor_tensors_stay_where_they_are_and_filters_are_laid_out_by_pixel() -> None:
    tensor = torch.ones(2)
    assert CPU.pin(tensor) is tensor
    assert CPU.put(tensor) is tensor
    assert CPU.place(nn.Conv2d(3, 4, 3)).weight.is_contiguous(memory_format=torch.channels_last)


def test_random_numbers_and_threads_of_the_caller_are_restored() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    before = torch.get_num_threads()
    with repeatable(3):
        assert torch.get_num_threads() == 3
        assert torch.are_deterministic_algorithms_enabled() or torch.backends.cudnn.deterministic
        torch.rand(10)
    assert torch.get_num_threads() == before
    assert torch.equal(torch.rand(1), expected)


def test_memory_is_kept_where_the_system_can_do_that(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []

    class Library:
        mallopt = staticmethod(lambda *arguments: calls.append(arguments))

    monkeypatch.setattr(machine_module.ctypes, "CDLL", lambda _: Library)
    keep_memory()
    assert [option for option, _ in calls] == [machine_module.MMAP_THRESHOLD, machine_module.TRIM_THRESHOLD]
    monkeypatch.setattr(machine_module.ctypes, "CDLL", lambda _: object())
    keep_memory()


def test_rows_are_split_into_batches_that_lose_none() -> None:
    batches = split(np.arange(10), 4)
    assert [batch.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_the_batches_come_in_order_and_a_fault_among_them_is_not_lost() -> None:
    rows = split(np.arange(50), 4)

    def batch(selected: Any) -> Any:
        if 30 in selected:
            raise OSError("the disk is gone")
        return torch.from_numpy(selected), torch.from_numpy(selected)

    seen: list[int] = []

    def read() -> None:
        for inputs, _ in prefetched(batch, rows, Machine.best()):
            seen.extend(inputs.tolist())

    with pytest.raises(OSError, match="the disk is gone"):
        read()
    assert seen == list(range(28))
