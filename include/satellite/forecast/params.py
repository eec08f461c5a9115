"""Parameters of the steps that forecast the NDVI of fields."""

from __future__ import annotations

from functools import partial
from typing import Any

from include.core.contracts import RunParams
from include.satellite.params import ImageryStepParams, SourceParams, WindowParams, form_field

_window, _forecast = partial(form_field, "Window"), partial(form_field, "Forecast")


class PreviewParams(SourceParams, WindowParams):
    """Fetching the previews from which the series of the fields are made."""

    days_back: int = _window(
        1825,
        "Days before the end whose previews (60 m) make the series of the fields; two years are the least.",
        ge=730,
        le=3660,
    )

    def for_search(self, area: dict[str, Any]) -> ImageryStepParams:
        """Return the parameters of a search over an area; a date is usable as in the training of the forecaster."""
        values = {name: value for name, value in self if name in ImageryStepParams.model_fields}
        return ImageryStepParams.model_validate(values | {"geojson": area, "history_days": 0})


class ForecastParams(RunParams):
    """Forecasting; an audit measures every field on every date again, and runs the weights on every sample."""

    forecast_days: int = _forecast(5, "Days from the end of the window to the day of the forecast.", ge=1, le=60)
