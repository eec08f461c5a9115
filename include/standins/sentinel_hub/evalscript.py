"""Evalscripts: the part of JavaScript that a pixel-wise script needs, computed for all pixels at once.

Understood: functions, `let`/`const`/`var`, assignment, `if`/`else`, `return`, the operators of arithmetic, comparison
and logic, `?:`, arrays and objects, `Math`, `[…].includes(x)`. Loops, closures and mosaicking `ORBIT` or `TILE` are
refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.script_parser import Program, ScriptError, parse
from include.standins.sentinel_hub.script_values import Interpreter

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


@dataclass(frozen=True)
class Output:
    """One output of a script: its identifier, number of bands, and sample type (a key of SAMPLE_TYPES)."""

    id: str
    bands: int
    sample_type: str


@dataclass(frozen=True)
class Evalscript:
    """A script that is understood.

    Args:
        bands: Input bands, in order.
        units: REFLECTANCE or DN, of the reflectance bands.
        outputs: What it writes.
    """

    bands: tuple[str, ...]
    units: str
    outputs: tuple[Output, ...]
    _program: Program

    @classmethod
    def read(cls, text: str) -> Evalscript:
        """Understand a script.

        Raises:
            ScriptError: It is malformed, or needs more than is understood here.
        """
        if not text.lstrip().startswith("//VERSION=3"):
            raise ScriptError("the script must start with //VERSION=3")
        program = parse(text)
        if "evaluatePixel" not in program.functions:
            raise ScriptError("the script has no function evaluatePixel")
        setup = Interpreter(program).call("setup", [])
        if not isinstance(setup, dict) or "input" not in setup or "output" not in setup:
            raise ScriptError("setup() must return an object with input and output")
        if str(setup.get("mosaicking", "SIMPLE")) != "SIMPLE":
            raise ScriptError(f"mosaicking {setup['mosaicking']} is not served by the stand-in: only SIMPLE")
        bands, units = _inputs(setup["input"])
        return cls(bands, units, _outputs(setup["output"]), program)

    def evaluate(self, samples: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run it over all pixels.

        Args:
            samples: An array of shape (height, width) for each input band.

        Returns:
            By output, an array of shape (bands, height, width) in its sample type.

        Raises:
            ScriptError: It fails, or returns something else than it declared.
        """
        with np.errstate(all="ignore"):
            found = Interpreter(self._program).call("evaluatePixel", [dict(samples)])
            shape = next(iter(samples.values())).shape
            if not isinstance(found, dict):
                if len(self.outputs) != 1:
                    raise ScriptError("evaluatePixel must return an object with a key for each output")
                found = {self.outputs[0].id: found}
            return {output.id: _written(output, found.get(output.id), shape) for output in self.outputs}


def _inputs(declared: Any) -> tuple[tuple[str, ...], str]:
    """Bands and units of `input`: a list of names, or of one object with bands and units."""
    if not isinstance(declared, list) or not declared:
        raise ScriptError("setup().input must be a list of bands")
    units: Any = "REFLECTANCE"
    if isinstance(declared[0], dict):
        if len(declared) != 1:
            raise ScriptError("setup().input: more than one data source is not served by the stand-in")
        bands, units = declared[0].get("bands"), declared[0].get("units", units)
        units = units[0] if isinstance(units, list) and len(set(units)) == 1 else units
    else:
        bands = declared
    if not isinstance(bands, list) or not all(isinstance(band, str) for band in bands):
        raise ScriptError("setup().input: bands must be a list of names")
    if units not in UNITS:
        raise ScriptError(f"setup().input: units {units} are not served by the stand-in: only {' or '.join(UNITS)}")
    return tuple(bands), str(units)


def _outputs(declared: Any) -> tuple[Output, ...]:
    outputs = []
    for one in declared if isinstance(declared, list) else [declared]:
        if not isinstance(one, dict) or not isinstance(one.get("bands"), int | float) or one["bands"] < 1:
            raise ScriptError("setup().output needs bands, a number from 1")
        sample_type = str(one.get("sampleType", "AUTO"))
        if sample_type not in SAMPLE_TYPES:
            raise ScriptError(f"setup().output: sampleType {sample_type} is unknown")
        outputs.append(Output(str(one.get("id", "default")), int(one["bands"]), sample_type))
    return tuple(outputs)


def _written(output: Output, values: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """In the output's sample type: integers rounded and clamped, AUTO from 0–1 to 0–255, FLOAT32 as it is."""
    values = values if isinstance(values, list) else [values]
    if len(values) != output.bands or any(isinstance(value, list | dict | str | None) for value in values):
        raise ScriptError(f"output {output.id} must be {output.bands} numbers, as setup() declares")
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
