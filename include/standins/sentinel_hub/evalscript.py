"""Evalscripts of one regular form: recognised and computed for all pixels at once, not run as JavaScript.

`ACCEPTED` states the form; it covers the scripts of the pipeline and band arithmetic such as an index. JavaScript's
literals and arithmetic are Python's too once the keys are quoted, so Python's parser reads them, and only the listed
nodes are computed. See `docs/decisions/0021-evalscripts-are-recognised.md`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from include.standins.sentinel_hub.errors import ApiError, first_problem
from include.standins.sentinel_hub.scenes import DATA_MASK

ACCEPTED = (
    "The stand-in accepts scripts of this form: //VERSION=3, then function setup() that only returns "
    "{ input: [bands], output: { bands, sampleType } }, then function evaluatePixel(s) with "
    "`if (s.dataMask !== 1) return [numbers];`, which may be left out, and `return [values];` or "
    "`return { output: [values] };`. Values hold numbers, s.BAND, + - * / and Math.abs, floor, max, min, round, sqrt."
)
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
_OPERATORS = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.true_divide}
_EXTREMES = {"max": np.maximum, "min": np.minimum}
_FUNCTIONS: dict[str, Any] = {"abs": np.abs, "floor": np.floor, "sqrt": np.sqrt}
_FUNCTIONS["round"] = lambda value: np.floor(value + np.float32(0.5))  # JavaScript rounds halves up
Samples = dict[str, NDArray[Any]]


class ScriptError(ApiError):
    """An evalscript that does not have the accepted form, or contradicts its own declarations.

    Args:
        problem: The part that is not served; the message also states the accepted form.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(400, f"Failed to evaluate script!\n{problem}\n{ACCEPTED}\n", "RENDERER_EXCEPTION")


class Output(BaseModel):
    """One output that a script declares; AUTO is UINT8 scaled from values between 0 and 1."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)

    id: str = "default"
    bands: int = Field(ge=1)
    sample_type: Literal["AUTO", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "FLOAT32"] = "AUTO"


class _Source(BaseModel):
    bands: list[str] = Field(min_length=1)
    units: Literal["REFLECTANCE", "DN"] = "REFLECTANCE"


def _source(declared: Any) -> Any:
    """Return the one data source of `input`, which may be a plain list of bands."""
    is_source = isinstance(declared, list) and len(declared) == 1 and isinstance(declared[0], dict)
    return declared[0] if is_source else {"bands": declared}


class _Setup(BaseModel):
    input: Annotated[_Source, BeforeValidator(_source)]
    output: Annotated[list[Output], BeforeValidator(lambda one: one if isinstance(one, list) else [one])]
    mosaicking: Literal["SIMPLE"] = "SIMPLE"


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
            setup = _Setup.model_validate(ast.literal_eval(_parsed(match["setup"])))
            values = _values(_parsed(match["values"]), setup.output)
            empty = _items(_parsed(match["empty"])) if match["empty"] else None
            source = setup.input
            script = cls(tuple(source.bands), source.units, tuple(setup.output), match["sample"], values, empty)
            script.evaluate({band: np.zeros((1, 1), np.float32) for band in (*script.bands, DATA_MASK)})
        except ValidationError as error:
            path, problem = first_problem(error)
            raise ScriptError(f"setup().{'.'.join(path)} {problem}") from error
        except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
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
                    values = [np.where(valid, value, other) for value, other in zip(values, empty, strict=True)]
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


def _values(returned: ast.expr, outputs: list[Output]) -> dict[str, list[ast.expr]]:
    """Return the expressions of each output: of one from a list, of several from an object."""
    if isinstance(returned, ast.Dict):
        keys = [ast.literal_eval(key) if key else None for key in returned.keys]
        values = {str(key): _items(value) for key, value in zip(keys, returned.values, strict=True)}
    elif len(outputs) == 1:
        values = {outputs[0].id: _items(returned)}
    else:
        values = {}
    if not all(output.id in values for output in outputs):
        raise ScriptError("evaluatePixel must return an object with a key for each output")
    return values


def _items(node: ast.expr) -> list[ast.expr]:
    if not isinstance(node, ast.List):
        raise ScriptError(f"`{ast.unparse(node)}` must be a list with a value for each band of the output")
    return node.elts


def _written(output: Output, values: list[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the bands in the output's sample type: integers rounded and clamped, AUTO scaled from 0–1 to 0–255."""
    dtype = np.dtype("uint8" if output.sample_type == "AUTO" else output.sample_type.lower())
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
