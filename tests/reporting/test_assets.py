"""The script and the styles of the page: the vendored library is what its publisher released; colours can be told."""

import base64
import hashlib
import itertools
import re

import numpy as np
import pytest

from include.reporting.assets import HERE, figure_styles, script, script_source, styles

RELEASED = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""SHA-256 of the files of the npm package uplot 1.6.32 (`npm pack uplot@1.6.32`)."""


def test_the_library_is_the_release_with_its_licence():
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (HERE / "vendor").iterdir()}
    assert files == RELEASED
    assert "uPlot (v1.6.32)" in script()


def test_nothing_in_the_script_or_the_styles_ends_their_element():
    assert "</script" not in script().lower()
    assert "<!--" not in script()
    assert "</style" not in styles().lower()


def test_the_policy_names_the_hash_of_the_script():
    digest = base64.b64encode(hashlib.sha256(str(script()).encode()).digest()).decode()
    assert script_source() == f"'sha256-{digest}'"


# ── colours ──────────────────────────────────────────────────────────────────────────────────────────────────────────

DEFICIENCIES = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB."""


def colours(scheme: int) -> dict[str, np.ndarray]:
    """Linear RGB of the custom properties, of the light (0) or the dark (1) scheme."""
    found = re.findall(r"--([a-z0-9-]+): light-dark\((#\w{6}), (#\w{6})\)", styles())
    return {name: linear(pair[scheme]) for name, *pair in found}


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """Contrast ratio of WCAG 2."""
    light, dark = sorted((float(np.dot((0.2126, 0.7152, 0.0722), colour)) for colour in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(colour: np.ndarray) -> np.ndarray:
    """CIE L*a*b*, D65."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.clip(matrix @ np.clip(colour, 0, 1), 1e-6, None) / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("text", ["ink", "quiet", "accent", "good", "bad", "warn"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(scheme, text):
    palette = colours(scheme)
    assert min(contrast(palette[text], palette[ground]) for ground in ("paper", "card", "soft")) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_lines_of_charts_stand_out_and_differ_for_colour_blind_readers(scheme):
    palette = colours(scheme)
    lines = {name: colour for name, colour in palette.items() if name.startswith("chart-")}
    assert len(lines) == 4
    assert min(contrast(colour, palette["card"]) for colour in lines.values()) >= 3
    for matrix in DEFICIENCIES.values():
        first, second, _, fourth = (lab(np.asarray(matrix) @ colour) for colour in lines.values())
        for one, other in itertools.combinations((first, second), 2):
            assert np.linalg.norm(one - other) >= 20, "the two lines of a mean day"
        assert np.linalg.norm(first - fourth) >= 20, "a line and what is marked on it"


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_names_on_areas_of_a_map_can_be_read(scheme):
    palette = colours(scheme)
    ink = {"area-alert": np.zeros(3), "area-plain": palette["ink"], "area-pale": palette["ink"]}
    assert all(contrast(colour, palette[area]) >= 4.5 for area, colour in ink.items())


def test_the_styles_of_figures_are_part_of_the_report():
    assert str(figure_styles()) in str(styles())
    assert ".headlines" not in figure_styles()
