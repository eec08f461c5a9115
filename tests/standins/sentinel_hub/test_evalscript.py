"""Evalscripts of the accepted form: the pipeline's own, band arithmetic, and how others are refused."""

import numpy as np
import pytest

from include.standins.sentinel_hub.evalscript import ACCEPTED, Evalscript, ScriptError

FORM = """//VERSION=3
function setup() {{ return {{ input: [{bands}], output: {output} }}; }}
{body}"""
RED = np.array([[0.1, 0.2], [0.0, 0.5]], np.float32)
NIR = np.array([[0.3, 0.2], [0.0, 0.7]], np.float32)
SCL = np.array([[4, 9], [0, 3]], np.float32)
MASK = np.array([[1, 1], [0, 1]], np.float32)
SAMPLES = {"B04": RED, "B08": NIR, "SCL": SCL, "dataMask": MASK}
PIPELINE = """//VERSION=3
function setup() {
  return {
    input: ["B04", "B08", "SCL", "dataMask"],
    output: { bands: 3, sampleType: "UINT16" }
  };
}
function evaluatePixel(s) {
  if (s.dataMask !== 1) return [0, 0, 0];
  return [Math.max(1, Math.round(10000 * s.B04)), Math.max(1, Math.round(10000 * s.B08)), s.SCL];
}
"""


def run(body, bands=("B04", "B08", "SCL"), output='{ bands: 1, sampleType: "FLOAT32" }'):
    quoted = ", ".join(f'"{band}"' for band in bands)
    return Evalscript.read(FORM.format(bands=quoted, output=output, body=body)).evaluate(SAMPLES)


def value(expression):
    return run(f"function evaluatePixel(s) {{ return [{expression}]; }}")["default"][0]


def test_a_script_of_the_pipeline_is_recognised_and_computed():
    script = Evalscript.read(PIPELINE)
    assert (script.bands, script.units) == (("B04", "B08", "SCL", "dataMask"), "REFLECTANCE")
    red, nir, scl = script.evaluate(SAMPLES)["default"]
    assert red.dtype == np.uint16
    assert red.tolist() == [[1000, 2000], [0, 5000]]
    assert nir.tolist() == [[3000, 2000], [0, 7000]]
    assert scl.tolist() == [[4, 9], [0, 3]]


def test_arithmetic_follows_javascripts_precedence():
    ndvi = value("(s.B08 - s.B04) / (s.B08 + s.B04)")
    assert np.allclose(ndvi, [[0.5, 0], [np.nan, 1 / 6]], equal_nan=True)  # 0/0 as in JavaScript
    assert np.allclose(value("1 + 2 * 3 - 8 / 4 + -s.B04"), 5 - RED)
    assert np.isinf(value("1 / 0")).all()


def test_functions_of_math_are_javascripts():
    assert value("Math.round(2.5)").tolist() == [[3, 3], [3, 3]]
    assert value("Math.round(-2.5)").tolist() == [[-2, -2], [-2, -2]]
    assert value("Math.max(1, Math.round(10000 * s.B04))").tolist() == [[1000, 2000], [1, 5000]]
    assert value("Math.min(s.SCL, 5, 4)").tolist() == [[4, 4], [0, 3]]
    assert value("Math.abs(s.SCL - 4)").tolist() == [[0, 5], [4, 1]]
    assert value("Math.floor(s.SCL / 4) + Math.sqrt(s.SCL * s.SCL)").tolist() == [[5, 11], [0, 3]]


def test_pixels_without_data_are_treated_apart_with_and_without_braces():
    for guard in ("if (p.dataMask !== 1) return [-1];", "if (p.dataMask != 1) { return [-1]; }"):
        written = run(f"/* NDVI */ function evaluatePixel(p) {{ // mask first\n {guard} return [p.B08]; }}")["default"]
        assert np.allclose(written, [[[0.3, 0.2], [-1, 0.7]]])


def test_integers_are_rounded_and_clamped_and_auto_is_scaled():
    body = "function evaluatePixel(s) { return [s.B08 * 1000 - 250.4]; }"
    assert run(body, output='{ bands: 1, sampleType: "UINT8" }')["default"].tolist() == [[[50, 0], [0, 255]]]
    assert run(body, output='{ bands: 1, sampleType: "INT16" }')["default"].tolist() == [[[50, -50], [-250, 450]]]
    auto = run("function evaluatePixel(s) { return [s.B08]; }", output="{ bands: 1 }")["default"]
    assert auto.dtype == np.uint8
    assert auto.tolist() == [[[76, 51], [0, 178]]]


def test_outputs_have_names():
    output = '[{ id: "a", bands: 1, sampleType: "FLOAT32" }, { id: "b", bands: 2, sampleType: "UINT8" }]'
    written = run("function evaluatePixel(s) { return { a: [s.B04], b: [s.SCL, 1] }; }", output=output)
    assert np.array_equal(written["a"][0], RED)
    assert written["b"].tolist() == [[[4, 9], [0, 3]], [[1, 1], [1, 1]]]


def test_inputs_in_either_form():
    script = Evalscript.read(
        '//VERSION=3\nfunction setup() { return { input: [{ bands: ["B04"], units: "DN" }], output: { bands: 1 } }; }'
        "\nfunction evaluatePixel(sample) { return [sample.B04]; }"
    )
    assert (script.bands, script.units) == (("B04",), "DN")


def test_the_accepted_form_names_every_part():
    for part in ("//VERSION=3", "setup()", "evaluatePixel(s)", "dataMask", "Math.abs, floor, max, min, round, sqrt"):
        assert part in ACCEPTED


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("function evaluatePixel(s) { for (let i = 0; i < 3; i++) {} }", "not have the accepted form"),
        ("function evaluatePixel(s) { let x = s.B04; return [x]; }", "not have the accepted form"),
        ("function evaluatePixel(s) { if (s.SCL !== 4) return [0]; return [s.B04]; }", "not have the accepted form"),
        ("function evaluatePixel(s) { return [s.B02]; }", "B02 is not among the declared input bands"),
        ("function evaluatePixel(s) { return [x]; }", "`x` is not served"),
        ("function evaluatePixel(s) { return [1, 2]; }", "must be 1 numbers"),
        ("function evaluatePixel(s) { if (s.dataMask !== 1) return [0, 0]; return [1]; }", "must be 1 numbers"),
        ("function evaluatePixel(s) { return ['a']; }", "`'a'` is not served"),
        ("function evaluatePixel(s) { return [s.B04 > 1 ? 1 : 2]; }", "not have the accepted form"),
        ("function evaluatePixel(s) { }", "not have the accepted form"),
        ("function evaluatePixel(s) { return [s.B04 }", "not have the accepted form"),
        ("function evaluatePixel(s) { return [s.B04.map(1)]; }", "`s.B04.map(1)` is not served"),
        ("function evaluatePixel(s) { return [Math.floor(1, 2)]; }", "`Math.floor(1, 2)` is not served"),
        ("function evaluatePixel(s) { return [Math.max()]; }", "`Math.max()` is not served"),
        ("function evaluatePixel(s) { return [evaluatePixel(s)]; }", "`evaluatePixel(s)` is not served"),
        ("function evaluatePixel(s) { return [s.B04 # 2]; }", "not have the accepted form"),
        ("function evaluatePixel(s) { return { other: [1] }; }", "a key for each output"),
        ("function evaluatePixel(s) { return { default: 1 }; }", "`1` must be a list"),
        ("", "not have the accepted form"),
    ],
)
def test_what_is_not_accepted_is_named(body, words):
    with pytest.raises(ScriptError) as error:
        run(body)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ("1", "not have the accepted form"),
        ("{}", "setup().input is missing"),
        ('{ input: ["B02"] }', "setup().output is missing"),
        ("{ input: [], output: { bands: 1 } }", "setup().input.bands"),
        ('{ input: [{ bands: ["B02"], units: "KELVIN" }], output: { bands: 1 } }', "setup().input.units"),
        ('{ input: ["B02"], output: { bands: 0 } }', "setup().output.0.bands"),
        (
            '{ input: ["B02"], output: { bands: 1 }, mosaicking: "ORBIT" }',
            "mosaicking is not valid: Input should be 'S",
        ),
        ('{ input: ["B02"], output: { bands: 1, sampleType: "COMPLEX" } }', "setup().output.0.sampleType"),
    ],
)
def test_a_setup_that_is_not_served_is_named(setup, words):
    with pytest.raises(ScriptError) as error:
        Evalscript.read(
            f"//VERSION=3\nfunction setup() {{ return {setup}; }}\nfunction evaluatePixel(s) {{ return [1]; }}"
        )
    assert words in str(error.value)


def test_the_version_must_be_stated():
    with pytest.raises(ScriptError, match="must start with //VERSION=3"):
        Evalscript.read(PIPELINE.replace("VERSION=3", "VERSION=2"))
