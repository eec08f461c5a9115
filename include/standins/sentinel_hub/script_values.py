"""Interpreter of parsed evalscripts; a number of JavaScript may be an array here, one value a pixel."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from include.standins.sentinel_hub.script_parser import Node, Program, ScriptError

_RETURNED_NOTHING = object()
_DEEPEST = 50
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "%": np.fmod,
    "**": np.power,
    "==": np.equal,
    "===": np.equal,
    "!=": np.not_equal,
    "!==": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_MATH: dict[str, Callable[..., Any]] = {
    "max": lambda *values: reduce(np.maximum, values),
    "min": lambda *values: reduce(np.minimum, values),
    "round": lambda value: np.floor(value + np.float32(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "pow": np.power,
    "exp": np.exp,
    "log": np.log,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "atan": np.arctan,
    "atan2": np.arctan2,
}


class Interpreter:
    """Runs the functions of one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.depth = 0
        self.constants: dict[str, Any] = {}
        self._run(program.constants, self.constants)

    def call(self, name: str, arguments: list[Any]) -> Any:
        """The value that a function returns; None if it returns nothing.

        Raises:
            ScriptError: It fails, or does not exist.
        """
        if name not in self.program.functions:
            raise ScriptError(f"{name} is not defined")
        if self.depth >= _DEEPEST:
            raise ScriptError(f"{name} calls itself too often")
        parameters, body = self.program.functions[name]
        self.depth += 1
        try:
            padded = arguments + [None] * len(parameters)
            found = self._run(body, {**self.constants, **dict(zip(parameters, padded, strict=False))})
        finally:
            self.depth -= 1
        return None if found is _RETURNED_NOTHING else found

    def _run(self, statements: list[Node], names: dict[str, Any]) -> Any:
        """Returned value; an `if` whose condition differs between pixels runs both ways with what follows."""
        for number, statement in enumerate(statements):
            kind = statement[0]
            if kind == "assign":
                names[statement[1]] = self._value(statement[2], names)
            elif kind == "return":
                return self._value(statement[1], names)
            elif kind == "block":
                return self._run([*statement[1], *statements[number + 1 :]], names)
            elif kind == "if":
                condition, rest = _truth(self._value(statement[1], names)), statements[number + 1 :]
                if np.ndim(condition) == 0:
                    return self._run([statement[2] if condition else statement[3], *rest], names)
                chosen = self._run([statement[2], *rest], dict(names))
                return _choose(condition, chosen, self._run([statement[3], *rest], dict(names)))
        return _RETURNED_NOTHING

    def _value(self, node: Node, names: dict[str, Any]) -> Any:
        kind, *parts = node
        match kind:
            case "constant":
                value = parts[0]
            case "name":
                value = _known(names, *parts)
            case "list":
                value = [self._value(item, names) for item in parts[0]]
            case "object":
                value = {key: self._value(item, names) for key, item in parts[0]}
            case "choose":
                value = self._chosen(_truth(self._value(parts[0], names)), parts[1], parts[2], names)
            case "unary":
                value = _unary(parts[0], self._value(parts[1], names))
            case "binary":
                value = _binary(parts[0], self._value(parts[1], names), self._value(parts[2], names))
            case _:
                value = self._member_or_call(node, names)
        return value

    def _chosen(self, condition: Any, first: Node, second: Node, names: dict[str, Any]) -> Any:
        if np.ndim(condition) == 0:
            return self._value(first if condition else second, names)
        return _choose(condition, self._value(first, names), self._value(second, names))

    def _member_or_call(self, node: Node, names: dict[str, Any]) -> Any:
        if node[0] == "member":
            if node[1][:2] == ("name", "Math") and node[2] == ("constant", "PI"):
                return np.pi
            return _member(self._value(node[1], names), self._value(node[2], names))
        callee, arguments = node[1], [self._value(item, names) for item in node[2]]
        if callee[0] == "name":
            return self.call(callee[1], arguments)
        if callee[0] == "member" and callee[1][:2] == ("name", "Math") and callee[2][1] in _MATH:
            return _MATH[callee[2][1]](*(_number(argument) for argument in arguments))
        if callee[0] == "member" and callee[2] == ("constant", "includes") and len(arguments) == 1:
            items = self._value(callee[1], names)
            if isinstance(items, list):
                return np.isin(_number(arguments[0]), [_number(item) for item in items])
        raise ScriptError(f"{callee[-1][-1] if callee[0] == 'member' else 'this'}() is not served by the stand-in")


def _known(names: dict[str, Any], name: str, line: int) -> Any:
    if name not in names:
        raise ScriptError(f"line {line}: {name} is not defined")
    return names[name]


def _unary(sign: str, value: Any) -> Any:
    if sign == "!":
        return np.logical_not(_truth(value))
    return _number(value) * (-1 if sign == "-" else 1)


def _binary(sign: str, left: Any, right: Any) -> Any:
    """Both sides are computed: there are no side effects that `&&` could spare."""
    if sign in ("&&", "||"):
        return (np.logical_and if sign == "&&" else np.logical_or)(_truth(left), _truth(right))
    if isinstance(left, str) and isinstance(right, str) and sign in ("==", "===", "!=", "!=="):
        return (left == right) == sign.startswith("=")
    return _OPERATORS[sign](_number(left), _number(right))


def _member(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        if key not in value:
            raise ScriptError(f"{key} is not among the declared input bands")
        return value[key]
    if isinstance(value, list) and key == "length":
        return float(len(value))
    if isinstance(value, list) and isinstance(key, float) and 0 <= key < len(value):
        return value[int(key)]
    raise ScriptError(f"{key} cannot be read")


def _number(value: Any) -> Any:
    if value is None or isinstance(value, str | list | dict):
        raise ScriptError(f"{value!r} is not a number")
    return value.astype(np.float32) if getattr(value, "dtype", None) == np.bool_ else value


def _truth(value: Any) -> Any:
    if value is None or isinstance(value, str | list | dict):
        return np.bool_(bool(value) or isinstance(value, list | dict))
    return np.logical_and(np.not_equal(value, 0), np.logical_not(np.isnan(value)))


def _choose(condition: Any, first: Any, second: Any) -> Any:
    """Pixel by pixel, also within lists and objects of one form."""
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return [_choose(condition, a, b) for a, b in zip(first, second, strict=True)]
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return {key: _choose(condition, first[key], second[key]) for key in first}
    if any(
        value is _RETURNED_NOTHING or value is None or isinstance(value, str | list | dict) for value in (first, second)
    ):
        raise ScriptError("the two branches of a condition must give values of one form")
    return np.where(condition, _single(first), _single(second))


def _single(value: Any) -> Any:
    """Plain numbers as float32, so that arrays stay as small as the bands are."""
    return np.float32(value) if isinstance(value, int | float) else value
