"""Messages are strict where they are sent and lenient where they are read."""

import pytest
from pydantic import ValidationError

from include.control.models import HttpData, Status, file_reference
from tests.control.small_steps import asked

SHA = "1" * 64


def test_a_reference_names_format_checksum_and_place():
    reference = file_reference("a/b.CSV", SHA, 1)
    assert isinstance(reference, HttpData)
    assert (reference.format, reference.bytes, reference.uri) == ("csv", 1, f"/data/{SHA}")


@pytest.mark.parametrize("path", ["../a.csv", "/etc/passwd", "a/../../b.csv", ".hidden"])
def test_no_reference_leaves_the_folder_of_its_step(path):
    with pytest.raises(ValidationError):
        file_reference(path, SHA, 1)


def test_a_failed_task_states_its_error_and_unknown_keys_of_an_answer_mean_nothing():
    request = asked("copy")
    stated = {
        "task": request.task,
        "operation": "copy",
        "keys": request.keys,
        "service": "s",
        "version": "1",
        "more": 1,
    }
    assert Status.model_validate(stated | {"state": "running", "more": 1}).state == "running"
    with pytest.raises(ValidationError, match="must state its error"):
        Status.model_validate(stated | {"state": "failed"})
