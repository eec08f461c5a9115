"""The picture of a forecast: both maps, all states, and fields without a forecast."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
from shapely import to_wkb
from shapely.geometry import MultiPolygon, box

from include.core.plots import figure_file
from include.satellite.forecast import drawing
from include.satellite.forecast.drawing import plot_forecast
from tests.satellite.forecast.test_charts import field_row
from tests.satellite.forecast.test_latest import forecast


def test_the_picture_has_both_maps_names_and_a_legend_of_the_states(tmp_path, monkeypatch):
    figures = []

    @contextmanager
    def kept(*arguments, **options):
        with figure_file(*arguments, **options) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr(drawing, "figure_file", kept)
    shapes = [to_wkb(MultiPolygon([box(5 + at, 50, 5.009 + at, 50.01)])) for at in (0, 0.01, 0.02)]
    states = ("warning", "as expected", "no forecast")
    rows = [
        field_row(name, state, geometry=shape, forecast=np.nan if state == "no forecast" else 0.5)
        for name, state, shape in zip("ABC", states, shapes, strict=True)
    ]
    plot_forecast(tmp_path / "map.png", pd.DataFrame(rows), forecast(synthetic=True), "EPSG:32631")
    (figure,) = figures
    maps = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in maps] == ["Forecast", "Forecast minus expected"]
    assert [text.get_text() for text in maps[0].texts] == ["A", "B", "C"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["early warning: 1", "as expected: 1", "no forecast: 1"]
    assert "SIMULATED" in figure.get_suptitle()
    assert (tmp_path / "map.png").stat().st_size > 10_000
