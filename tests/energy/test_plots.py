import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from include.core import plots as figures
from include.energy import plots
from tests.energy.analysis import analyzed, series, varied

ROOT = Path(__file__).parents[2]


@pytest.fixture
def figure():
    from matplotlib.figure import Figure

    return Figure(figsize=(11, 4.8), layout="constrained")


def drawn(name, figure, document):
    """The axes of a plot, after a render that would warn of what does not fit."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with mpl.rc_context(figures.STYLE):
        plots.DRAW[name](figure, document)
        FigureCanvasAgg(figure).draw()
    return figure.axes


def one_day(files):
    return analyzed(files, series([*varied(40), None, None, *varied(6)])).document


SHAPES = {
    "a day of one home": lambda: series(varied(48)),
    "a year of one home": lambda: series(varied(365 * 24), minutes=60),
    "a hundred homes": lambda: [line for h in range(100) for line in series(varied(4), home=f"home_{h:03d}")],
    "two readings": lambda: series(varied(2)),
    "zeros": lambda: series([0] * 48),
}


@pytest.fixture(scope="module", params=SHAPES)
def shaped(request, tmp_path_factory):
    """The analysis of records of some shape."""
    return analyzed(tmp_path_factory.mktemp("shape"), SHAPES[request.param]()).document


@pytest.mark.parametrize("name", plots.DRAW)
def test_every_plot_can_be_drawn_and_is_labelled(figure, shaped, name):
    axes = drawn(name, figure, shaped)
    assert axes[0].get_title(loc="left")
    assert all(ax.get_xlabel() or ax.get_ylabel() for ax in axes)


def test_a_gap_breaks_the_line(files, figure):
    line = drawn("load_curve", figure, one_day(files))[0].lines[0]
    assert np.isnan(line.get_ydata()).sum() == 1


def test_days_without_data_stay_empty_in_the_heat_map(files, figure):
    document = analyzed(files, [*series(varied(48)), *series(varied(480), start=144)]).document
    axes = drawn("heat_map", figure, document)[0]
    assert axes.get_title(loc="left") == "Mean power by day and hour; grey: no data"
    mesh = axes.collections[0]
    assert np.ma.getmaskarray(mesh.get_array()).sum() == 48, "two of three days of hours are missing"


@pytest.mark.parametrize(
    ("homes", "title", "names"),
    [(1, "The household", ["home_0"]), (2, "Households compared (2)", ["home_1", "home_0"])],
)
def test_households_are_ranked_and_named(files, figure, homes, title, names):
    lines = [line for home in range(homes) for line in series(varied(4 + 4 * home), home=f"home_{home}")]
    axes = drawn("households", figure, analyzed(files, lines).document)[0]
    assert axes.get_title(loc="left") == title
    assert [label.get_text() for label in axes.get_yticklabels()] == names


def test_marks_stand_where_the_anomalies_are(files, figure):
    document = analyzed(files, series([*varied(40), 7.5, *varied(7)])).document
    top, bottom = drawn("anomalies", figure, document)
    assert top.collections[0].get_offsets()[:, 1].tolist() == [7.5]
    assert sum(bar.get_height() for bar in bottom.patches) == document.anomalies == 1


def with_estimates(files):
    """A week of one home, in which the hours 3 and 4 of Wednesday are estimated."""
    powers = varied(7 * 24)
    powers[51] = powers[52] = None
    return analyzed(files, series(powers, minutes=60), estimate=True).document


@pytest.mark.parametrize("name", ["load_curve", "anomalies"])
def test_periods_that_hold_estimates_are_hatched_on_the_curves(files, figure, name):
    document = with_estimates(files)
    axes = drawn(name, figure, document)[0]
    [span] = [patch for patch in axes.patches if patch.get_hatch()]
    (left, _), (right, _) = span.get_xy(), (span.get_x() + span.get_width(), 0)
    from matplotlib.dates import num2date

    assert [f"{num2date(x):%d %H:%M}" for x in (left, right)] == ["07 03:00", "07 05:00"]
    assert "holds estimates" in axes.get_legend_handles_labels()[1]


def test_cells_that_hold_estimates_are_hatched_in_the_heat_map(files, figure):
    axes = drawn("heat_map", figure, with_estimates(files))[0]
    [hatched] = [collection for collection in axes.collections if collection.get_hatch()]
    assert [path.get_extents().y0 for path in hatched.get_paths()] == [3, 4]
    assert axes.get_title(loc="left").endswith("; hatched: holds estimates")


def test_the_estimated_part_of_a_household_is_hatched(files, figure):
    document = with_estimates(files)
    axes = drawn("households", figure, document)[0]
    [part] = [bar for bar in axes.patches if bar.get_hatch()]
    assert part.get_width() == pytest.approx(document.energy_kwh - document.energy_without_estimates_kwh)
    assert part.get_x() + part.get_width() == pytest.approx(document.energy_kwh)
    assert axes.get_xlabel().endswith("hatched: estimated")


@pytest.mark.parametrize("name", ["load_curve", "heat_map", "households", "anomalies"])
def test_nothing_is_hatched_without_estimates(files, figure, name):
    axes = drawn(name, figure, one_day(files))[0]
    assert [mark for mark in [*axes.patches, *axes.collections] if mark.get_hatch()] == []


def test_units_fit_the_size():
    assert [plots.power_unit([value])[1] for value in (0.05, 3, 25_000, 8e6, 1.2e7, 1.9e12)] == [
        "W", "kW", "MW", "MW", "GW", "TW",
    ]  # fmt: skip
    assert plots.shorten("a" * 20 + "b" * 20) == "a" * 15 + "…" + "b" * 12


def test_numbers_have_four_digits_and_separated_thousands():
    assert [plots.number(value) for value in (12345.678, 4.56789, 3.0)] == ["12,346", "4.568", "3"]


def test_plots_need_no_home_folder_and_no_display(files):
    document = one_day(files)
    environment = {"HOME": "/nonexistent", "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(files)}
    code = (
        "from pathlib import Path; from include.energy.plots import draw_plots;"
        "from include.energy.schemas import Analysis;"
        "files = Path('.'); draw_plots(Analysis.model_validate_json((files / 'output1.json').read_bytes()), files)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=files, env=environment, check=True, timeout=120)
    assert (files / "plot_records.png").read_bytes()[:4] == b"\x89PNG"
    assert document.missing == 2
