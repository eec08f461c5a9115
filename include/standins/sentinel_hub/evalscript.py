"""Evalscripts of one regular form: recognised and computed for all pixels at once, not run as JavaScript.

`ACCEPTED` states the form; it covers the scripts of the pipeline and band arithmetic such as an index. JavaScript's
literals and arithmetic are Python's too once the keys are quoted, so Python's parser reads them, and only the listed
nodes are computed. See `docs/decisions/0021-evalscripts-are-recognised.md`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.scenes import DATA_MASK

ACCEPTED = (
    "The stand-in accepts scripts of this form: //VERSION=3, then function setup() that only returns "
    "{ input: [bands], output: { bands, sampleType } }, then function evaluatePixel(s) with "
    "`if (s.dataMask !== 1) return [numbers];`, which may be left out, and `return [values];` or "
    "`return { output: [values] };`. Values hold numbers, s.BAND, + - * / and Math.abs, floor, max, min, round, sqrt."
)
SAMPLE_TYPES: dict[str, Any] = {
    "AUTO": np.uint8,
    "UINT8": np.uint8,
    "INT8": np.int8,
    "UINT16": np.uint16,
    "INT16": np.int16,
    "UINT32": np.uint32,
    "INT32": np.int32,
    "FLOAT32": np.float32,
}
UNITS = ("REFLECTANCE", "DN")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_KEY = re.compile(r"([{,]\s*)([A-Za-z_]\w*)\s*:")
_FORM = re.compile(
    r"""\s*function\s+setup\s*\(\s*\)\s*\{\s*return\s*(?P<setup>\{.*\})\s*;?\s*\}
    \s*function\s+evaluatePixel\s*\(\s*(?P<sample>\w+)\s*\)\s*\{
    (?:\s*if\s*\(\s*(?P=sample)\.dataMask\s*!==?\s*1\s*\)
       \s*(?P<brace>\{\s*)?return\s*(?P<empty>\[[^\[\]]*\])\s*;\s*(?(brace)\}))?
    \s*return\s*(?P<values>[\[{].*[\]}])\s*;?\s*\}\s*""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
}
_EXTREMES = {"max": np.maximum, "min": np.minimum}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs,
    "floor": np.floor,
    "round": lambda value: np.floor(value + np.float32(0.5)),  # JavaScript rounds halves up
    "sqrt": np.sqrt,
}
Samples = dict[str, NDArray[Any]]


class ScriptError(Exception):
    """An evalscript that does not have the accepted form, or contradicts its own declarations."""


@dataclass(frozen=True)
class Output:
    """One output of a script: its identifier, number of bands, and sample type (a key of SAMPLE_TYPES)."""

    id: str
    bands: int
    sample_type: str


@dataclass(frozen=True)
class Evalscript:
    """A recognised script.

    Args:
        bands: Input bands, in order.
        units: REFLECTANCE or DN, of the reflectance bands.
        outputs: What it writes.
        sample: Name of the parameter of evaluatePixel.
        values: By output, the expressions of its bands.
        empty: Expressions of the bands where dataMask is not 1; None if the script does not treat such pixels apart.
    """

    bands: tuple[str, ...]
    units: str
    outputs: tuple[Output, ...]
    sample: str
    values: dict[str, list[ast.expr]]
    empty: list[ast.expr] | None

    @classmethod
    def read(cls, text: str) -> Evalscript:
        """Recognise a script.

        Raises:
            ScriptError: It does not have the accepted form, or contradicts its own declarations.
        """
        if not text.lstrip().startswith("//VERSION=3"):
            raise ScriptError("the script must start with //VERSION=3")
        match = _FORM.fullmatch(_COMMENT.sub("", text))
        if match is None:
            raise ScriptError("the script does not have the accepted form")
        try:
            setup = ast.literal_eval(_parsed(match["setup"]))
            bands, units = _inputs(setup.get("input"))
            outputs = _outputs(setup.get("output"))
            if setup.get("mosaicking", "SIMPLE") != "SIMPLE":
                raise ScriptError(f"mosaicking {setup['mosaicking']} is not served by the stand-in: only SIMPLE")
            values = _values(_parsed(match["values"]), outputs)
            empty = _items(_parsed(match["empty"])) if match["empty"] else None
            script = cls(bands, units, outputs, match["sample"], values, empty)
            script.evaluate({band: np.zeros((1, 1), np.float32) for band in (*bands, DATA_MASK)})
        except (
            SyntaxError,
            ValueError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            MemoryError,
        ) as error:
            raise ScriptError(f"the script does not have the accepted form: {error}") from error
        return script

    def evaluate(self, samples: Samples) -> dict[str, NDArray[Any]]:
        """Compute the outputs of all pixels.

        Args:
            samples: float32 array of shape (height, width) for each input band and dataMask.

        Returns:
            By output, an array of shape (bands, height, width) in its sample type.

        Raises:
            ScriptError: A value is not accepted, or there are more or fewer values than bands.
        """
        results = {}
        with np.errstate(all="ignore"):
            for output in self.outputs:
                values = [self._value(node, samples) for node in self.values[output.id]]
                empty = [self._value(node, samples) for node in self.empty or ()]
                if len(values) != output.bands or (self.empty is not None and len(empty) != output.bands):
                    raise ScriptError(f"output {output.id} must be {output.bands} numbers, as setup() declares")
                if self.empty is not None:
                    valid = samples[DATA_MASK] == 1
                    values = [
                        np.where(valid, _single(value), _single(other))
                        for value, other in zip(values, empty, strict=True)
                    ]
                results[output.id] = _written(output, values, samples[DATA_MASK].shape)
        return results

    def _value(self, node: ast.expr, samples: Samples) -> Any:
        """Return the value of an expression: a number, or an array of one number a pixel."""
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return float(number)
            case ast.Attribute(value=ast.Name(id=self.sample), attr=band):
                if band not in samples:
                    raise ScriptError(f"{band} is not among the declared input bands")
                return samples[band]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._value(operand, samples)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
                return _OPERATORS[type(operator)](self._value(left, samples), self._value(right, samples))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="Math"), attr=name), args=arguments, keywords=[]):
                values = [self._value(argument, samples) for argument in arguments]
                if name in _EXTREMES and values:
                    return reduce(_EXTREMES[name], values)
                if name in _FUNCTIONS and len(values) == 1:
                    return _FUNCTIONS[name](values[0])
        raise ScriptError(f"`{ast.unparse(node)}` is not served by the stand-in")


def _parsed(text: str) -> ast.expr:
    """Parse a literal or expression of JavaScript."""
    return ast.parse(_KEY.sub(r'\1"\2":', text), mode="eval").body


def _inputs(declared: Any) -> tuple[tuple[str, ...], str]:
    """Return bands and units of `input`: a list of names, or of one object with bands and units."""
    bands, units = declared, "REFLECTANCE"
    if isinstance(declared, list) and len(declared) == 1 and isinstance(declared[0], dict):
        bands, units = declared[0].get("bands"), declared[0].get("units", units)
        units = units[0] if isinstance(units, list) and len(set(units)) == 1 else units
    if not isinstance(bands, list) or not bands or not all(isinstance(band, str) for band in bands):
        raise ScriptError("setup().input must be a list of bands, or of one object with such a list in `bands`")
    if units not in UNITS:
        raise ScriptError(f"setup().input: units {units} are not served by the stand-in: only {' or '.join(UNITS)}")
    return tuple(bands), units


def _outputs(declared: Any) -> tuple[Output, ...]:
    outputs = []
    for output in declared if isinstance(declared, list) else [declared]:
        if not isinstance(output, dict) or not isinstance(output.get("bands"), int) or output["bands"] < 1:
            raise ScriptError("setup().output needs bands, a number from 1")
        sample_type = str(output.get("sampleType", "AUTO"))
        if sample_type not in SAMPLE_TYPES:
            raise ScriptError(f"setup().output: sampleType {sample_type} is unknown")
        outputs.append(Output(str(output.get("id", "default")), output["bands"], sample_type))
    return tuple(outputs)


def _values(returned: ast.expr, outputs: tuple[Output, ...]) -> dict[str, list[ast.expr]]:
    """Return the expressions of each output: of one from a list, of several from an object."""
    if isinstance(returned, ast.Dict):
        keys = [ast.literal_eval(key) if key else None for key in returned.keys]
        values = {str(key): _items(value) for key, value in zip(keys, returned.values, strict=True)}
    elif len(outputs) == 1:
        values = {outputs[0].id: _items(returned)}
    else:
        raise ScriptError("evaluatePixel must return an object with a key for each output")
    missing = [output.id for output in outputs if output.id not in values]
    if missing:
        raise ScriptError(f"evaluatePixel must return an object with a key for each output: {missing[0]} is missing")
    return values


def _items(node: ast.expr) -> list[ast.expr]:
    if not isinstance(node, ast.List):
        raise ScriptError(f"`{ast.unparse(node)}` must be a list with a value for each band of the output")
    return node.elts


def _single(value: Any) -> Any:
    """Return plain numbers as float32, so that arrays stay as small as the bands are."""
    return np.float32(value) if isinstance(value, float) else value


def _written(output: Output, values: list[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the bands in the output's sample type: integers rounded and clamped, AUTO scaled from 0–1 to 0–255."""
    dtype = SAMPLE_TYPES[output.sample_type]
    written = np.empty((output.bands, *shape), dtype)
    for band, value in zip(written, values, strict=True):
        if dtype == np.float32:
            band[...] = value
            continue
        limits = np.iinfo(dtype)
        scaled = np.asarray(value, np.float32 if limits.bits <= 16 else np.float64)
        scaled = scaled * 255 if output.sample_type == "AUTO" else scaled
        band[...] = np.clip(np.rint(np.nan_to_num(scaled, nan=0)), limits.min, limits.max)
    return written
