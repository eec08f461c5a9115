"""Models and messages of the protocol say the same, and each method of its description has a handler and a stub."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from include.control.models import Execute, FileData, Health, InlineData, Operation, Output, Status, file_reference
from include.control.proto import control_pb2 as pb
from include.control.rpc import SERVICE, handlers, message_of, model_of, path_of, reference_of
from tests.control.small_steps import asked

SHA = "0" * 64
INLINE = InlineData(path="in.csv", format="csv", bytes=3, sha256=SHA, content=base64.b64encode(b"\0\xff1"))
MOUNTED = FileData(path="in.csv", format="csv", bytes=3, sha256=SHA, mount="share", uri="a/b.csv")
KEYS = asked("copy").keys
STATUS = Status(task=SHA, operation="copy", state="queued", keys=KEYS, service="s", version="1")
OPERATION = Operation(name="copy", version="1", parameters={"type": "object"}, reads=["in.csv"], writes=["out.csv"])


@pytest.mark.parametrize(
    "model",
    [
        Health(status="healthy", service="s", version="1", operations=[OPERATION], running=1, queued=2, capacity=3),
        asked("copy", inputs=[INLINE, MOUNTED, file_reference("in.csv", SHA, 1 << 40)], stored=[INLINE], priority=10),
        STATUS.model_copy(update={"progress": 0.0}),
        Output(task=SHA, keys=KEYS, outputs=[file_reference("out.csv", SHA, 0)], service="s", version="1"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_is_the_same_after_it_was_sent(model):
    message = message_of(model)
    assert model_of(type(model), type(message).FromString(message.SerializeToString())) == model


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none() | st.booleans()))
def test_parameters_keep_every_digit(parameters):
    request = asked("copy", parameters=parameters)
    assert model_of(Execute, message_of(request)).parameters == parameters


def test_what_is_not_stated_takes_its_default_and_what_is_required_is_missed():
    sparse = pb.ExecuteRequest(task=SHA, operation="copy", version="1", keys=message_of(KEYS))
    assert model_of(Execute, sparse).model_dump() == Execute(
        task=SHA, operation="copy", version="1", keys=KEYS
    ).model_dump()  # fmt: skip
    for broken in (pb.Health(status="healthy", service="s", version="1"), pb.Health(capacity=1)):
        with pytest.raises(ValidationError, match=r"capacity|status"):
            model_of(Health, broken)
    with pytest.raises(ValidationError, match="parameters"):
        model_of(Execute, pb.ExecuteRequest(task=SHA, operation="c", version="1", keys=sparse.keys, parameters="{"))


def test_a_reference_without_a_place_is_among_the_content():
    assert reference_of(pb.DataReference(path="a", sha256=SHA))["uri"] == f"/data/{SHA}"


def test_every_method_has_its_own_path_and_needs_a_behaviour():
    assert [path_of(method) for method in SERVICE.methods][:2] == [
        "/groundtruth.control.v1.Control/GetHealth", "/groundtruth.control.v1.Control/Execute"
    ]  # fmt: skip
    with pytest.raises(KeyError, match="GetHealth"):
        handlers({})
