"""The control protocol as gRPC messages: what a model is on the wire.

Stubs and handlers follow from the descriptor of the protocol (`proto/control.proto`), so no stub code is generated.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message_factory import GetMessageClass
from pydantic import BaseModel

from include.control.models import FileData, HttpData, InlineData
from include.control.proto import control_pb2 as pb

M = TypeVar("M", bound=BaseModel)
SERVICE = pb.DESCRIPTOR.services_by_name["Control"]
PIECE_BYTES = 1 << 19
"""How much of a file a message holds; gRPC refuses messages of more than 4 MiB unless it is told otherwise."""
REQUEST_BYTES = 8 << 20
ANSWER_BYTES = 4 << 20
FAULT_KIND = "fault-kind"
"""Trailing metadata that holds the kind of a fault."""
MESSAGES = {"Execute": pb.ExecuteRequest}
"""Messages whose model has another name."""
JSON_TEXTS = {"parameters"}
"""Fields that hold JSON: a number of a `google.protobuf.Struct` would lose the digits of large integers."""


def message_of(model: BaseModel) -> Any:
    """Return the message of a model.

    >>> from include.control.models import Fault
    >>> message_of(Fault(message="no")).kind
    'error'
    """
    name = type(model).__name__
    return MESSAGES.get(name, getattr(pb, name, None))(**_wire(model))  # type: ignore[misc]


def model_of(kind: type[M], message: Any) -> M:
    """Return the model of a message.

    Raises:
        ValidationError: It breaks a rule of the protocol.
    """
    return kind.model_validate(_values(message))


def reference_of(message: Any) -> Mapping[str, Any]:
    """Return the values of a reference to a file."""
    values = {name: getattr(message, name) for name in ("path", "format", "bytes", "sha256")}
    match message.WhichOneof("place"):
        case "inline":
            return {**values, "protocol": "inline", "content": b64encode(message.inline)}
        case "mounted":
            return {**values, "protocol": "file", "mount": message.mounted.mount, "uri": message.mounted.path}
        case _:
            return {**values, "protocol": "http", "uri": f"/data/{message.sha256}"}


def stubs(channel: grpc.Channel) -> dict[str, Any]:
    """Return a callable for each method of the protocol."""
    return {method.name: stub(channel, path_of(method), method) for method in SERVICE.methods}


def stub(channel: grpc.Channel, path: str, method: Any) -> Any:
    """Return the callable of one method, which may be served under the name of another package."""
    kind = f"{_arity(method.client_streaming)}_{_arity(method.server_streaming)}"
    return getattr(channel, kind)(
        path,
        request_serializer=GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )


def handlers(behaviours: Mapping[str, Callable[..., Any]]) -> Any:
    """Return the handler of the protocol, for a server.

    Args:
        behaviours: What to do, by method.
    """
    methods = {}
    for method in SERVICE.methods:
        kind = f"{_arity(method.client_streaming)}_{_arity(method.server_streaming)}_rpc_method_handler"
        methods[method.name] = getattr(grpc, kind)(
            behaviours[method.name],
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
    return grpc.method_handlers_generic_handler(SERVICE.full_name, methods)


def path_of(method: Any) -> str:
    """Return the path under which a method of the protocol is called."""
    return f"/{SERVICE.full_name}/{method.name}"


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"


def _wire(model: BaseModel) -> dict[str, Any]:
    """Return the fields of a model's message, without those that are not stated."""
    names = type(model).model_fields
    match model:
        case InlineData() | HttpData() | FileData():
            wire: dict[str, Any] = {name: getattr(model, name) for name in ("path", "format", "bytes", "sha256")}
            if isinstance(model, InlineData):
                wire["inline"] = model.content
            elif isinstance(model, FileData):
                wire["mounted"] = {"mount": model.mount, "path": model.uri}
            return wire
        case _:
            stated = {name: getattr(model, name) for name in names if getattr(model, name) is not None}
    return {
        name: json.dumps(value, ensure_ascii=False) if name in JSON_TEXTS else _wired(value)
        for name, value in stated.items()
    }


def _wired(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _wire(value)
    return [_wired(item) for item in value] if isinstance(value, list | tuple) else value


def _values(message: Any) -> Any:
    """Return the values of a message as its model takes them; a field that is absent takes its default."""
    if isinstance(message, pb.DataReference):
        return reference_of(message)
    values = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if field.message_type:
            value = [_values(item) for item in value] if field.is_repeated else _values(value)
        elif field.is_repeated:
            value = list(value)
        elif field.name in JSON_TEXTS:
            value = _json(value)
        values[field.name] = value
    return values


def _json(text: str) -> Any:
    """Return what a text holds; one that is not JSON stays text, which no model takes for an object."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text
