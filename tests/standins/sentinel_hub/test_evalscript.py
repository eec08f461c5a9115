"""Evalscripts are run, not guessed."""

import numpy as np
import pytest

from include.standins.sentinel_hub.evalscript import Evalscript
from include.standins.sentinel_hub.script_parser import ScriptError

FORM = """//VERSION=3
function setup() {{ return {{ input: [{bands}], output: {output} }}; }}
{body}"""
RED = np.array([[0.1, 0.2], [0.0, 0.5]], np.float32)
NIR = np.array([[0.3, 0.2], [0.0, 0.7]], np.float32)
SCL = np.array([[4, 9], [0, 3]], np.float32)


def run(body, bands=("B04", "B08", "SCL"), output='{ bands: 1, sampleType: "FLOAT32" }'):
    named = ", ".join(f'"{band}"' for band in bands)
    script = Evalscript.read(FORM.format(bands=named, output=output, body=body))
    return script.evaluate({"B04": RED, "B08": NIR, "SCL": SCL})


def value(expression):
    return run(f"function evaluatePixel(s) {{ return [{expression}]; }}")["default"][0]


def test_arithmetic_follows_javascripts_precedence():
    ndvi = value("(s.B08 - s.B04) / (s.B08 + s.B04)")
    assert np.allclose(ndvi, [[0.5, 0], [np.nan, 1 / 6]], equal_nan=True)  # 0/0 as in JavaScript
    assert np.allclose(value("1 + 2 * 3 ** 2 - 8 / 4 % 3 + -s.B04"), 17 - RED)
    assert np.allclose(value("s.B04 * 2 + s.B08 > 0.5 && !(s.SCL === 9) || s.SCL == 0"), [[0, 0], [1, 1]])
    assert np.allclose(value("s.B04 > 0.15 ? s.SCL >= 9 ? 1 : 2 : 3"), [[3, 1], [3, 2]])


def test_rounding_is_javascripts():
    assert value("Math.round(2.5)").tolist() == [[3, 3], [3, 3]]
    assert value("Math.round(-2.5)").tolist() == [[-2, -2], [-2, -2]]
    assert value("Math.max(1, Math.round(10000 * s.B04))").tolist() == [[1000, 2000], [1, 5000]]


def test_statements_functions_and_branches():
    found = run("""
      const clear = [4, 5, 6, 7];
      function index(a, b) { return (a - b) / (a + b); }
      function evaluatePixel(s) {
        // comment
        let n = index(s.B08, s.B04), scaled = n * 100;
        scaled += 1;
        if (!clear.includes(s.SCL)) { return [-1]; } else if (n > 1) { scaled = 7; }
        /* another */
        return [scaled];
      }""")["default"][0]
    assert np.allclose(found, [[51, -1], [-1, -1]])


def test_an_early_return_leaves_the_other_pixels_alone():
    found = run("function evaluatePixel(s) { if (s.SCL !== 4) return [0]; let x = s.B08; return [x]; }")["default"]
    assert np.allclose(found, [[[0.3, 0], [0, 0]]])


def test_integers_are_rounded_and_clamped_and_auto_is_scaled():
    body = "function evaluatePixel(s) { return [s.B08 * 1000 - 250.4]; }"
    assert run(body, output='{ bands: 1, sampleType: "UINT8" }')["default"].tolist() == [[[50, 0], [0, 255]]]
    assert run(body, output='{ bands: 1, sampleType: "INT16" }')["default"].tolist() == [[[50, -50], [-250, 450]]]
    assert run("function evaluatePixel(s) { return [s.B08]; }", output="{ bands: 1 }")["default"].dtype == np.uint8
    auto = run("function evaluatePixel(s) { return [s.B08]; }", output="{ bands: 1 }")["default"]
    assert auto.tolist() == [[[76, 51], [0, 178]]]


def test_outputs_have_names():
    output = '[{ id: "a", bands: 1, sampleType: "FLOAT32" }, { id: "b", bands: 2, sampleType: "UINT8" }]'
    found = run("function evaluatePixel(s) { return { a: [s.B04], b: [s.SCL, 1] }; }", output=output)
    assert np.array_equal(found["a"][0], RED)
    assert found["b"].tolist() == [[[4, 9], [0, 3]], [[1, 1], [1, 1]]]


def test_inputs_in_either_form():
    script = Evalscript.read(
        '//VERSION=3\nfunction setup() { return { input: [{ bands: ["B04"], units: "DN" }], output: { bands: 1 } }; }'
        "\nfunction evaluatePixel(sample) { return [sample.B04]; }"
    )
    assert (script.bands, script.units) == (("B04",), "DN")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("function evaluatePixel(s) { for (let i = 0; i < 3; i++) {} }", "for is not served"),
        ("function evaluatePixel(s) { return [s.B02]; }", "B02 is not among the declared input bands"),
        ("function evaluatePixel(s) { return [x]; }", "line 3: x is not defined"),
        ("function evaluatePixel(s) { return [1, 2]; }", "must be 1 numbers"),
        ("function evaluatePixel(s) { return ['a']; }", "must be 1 numbers"),
        ("function evaluatePixel(s) { }", "must be 1 numbers"),
        ("function evaluatePixel(s) { return [s.B04 }", "expected ]"),
        ("function evaluatePixel(s) { return [s.B04.map(1)]; }", "map() is not served"),
        ("function evaluatePixel(s) { return evaluatePixel(s); }", "calls itself too often"),
        ("function evaluatePixel(s) { return [s.B04 # 2]; }", "'#' is not understood"),
        ("", "no function evaluatePixel"),
    ],
)
def test_what_is_not_understood_is_named(body, words):
    with pytest.raises(ScriptError) as error:
        run(body)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("function setup() {}", "must start with //VERSION=3"),
        ("//VERSION=3\nfunction evaluatePixel() {}", "setup is not defined"),
        ("//VERSION=3\nfunction setup() { return 1; }\nfunction evaluatePixel() {}", "input and output"),
        (
            '//VERSION=3\nfunction setup() { return { input: ["B02"], output: { bands: 1 }, mosaicking: "ORBIT" }; }'
            "\nfunction evaluatePixel() {}",
            "mosaicking ORBIT",
        ),
        (
            '//VERSION=3\nfunction setup() { return { input: ["B02"], output: { bands: 1, sampleType: "COMPLEX" } }; }'
            "\nfunction evaluatePixel() {}",
            "sampleType COMPLEX",
        ),
    ],
)
def test_a_set_up_that_is_not_served_is_named(script, words):
    with pytest.raises(ScriptError) as error:
        Evalscript.read(script)
    assert words in str(error.value)
