"""The step `preview_fields`: previews of several years over the fields, from which their series are made."""

from __future__ import annotations

from pathlib import Path

from include.core.errors import BadInputError
from include.core.outcome import StepMetrics, StepOutcome
from include.core.settings import get_settings
from include.env_file import read_keys
from include.satellite.artifacts import FIELDS, FIELDS_HISTORY, LSTM
from include.satellite.evaluation.statements import check_stated
from include.satellite.fields.reading import area_of
from include.satellite.forecast.params import PreviewParams
from include.satellite.imagery.area import area_geometry
from include.satellite.imagery.search import search_history
from include.satellite.registry import store
from include.satellite.training.schemas import ModelCard


class PreviewMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `preview_fields`."""

    dates: int
    dates_fetched: int
    dates_not_usable: int
    first_date: str
    last_date: str
    processing_units_spent: float


def enabled_forecaster() -> tuple[store.StoredModel, ModelCard]:
    """Return the forecaster that the env file enables, whose files are unchanged, and its card.

    Raises:
        BadInputError: It enables none, names a version that is not stored, or the forecaster has no interval.
        ContractError: The version is damaged.
    """
    env_file = get_settings().env_file
    version = store.in_use(read_keys(env_file, store.ENV_KEYS), "lstm")
    if version is None:
        raise BadInputError(
            f"{env_file}: enables no forecaster ({store.USE}=true and {store.LSTM_PATH}), so there is no forecast: "
            "nothing else draws one. `./pipeline run satellite` trains a forecaster, and promotes it if every gate "
            "agrees; a profile has an env file of its own (GROUNDTRUTH_ENV_FILE=data/demo/.env)"
        )
    model = store.find(version)
    card = LSTM.check_weights(model.folder)
    if card.interval is None:
        raise BadInputError(
            f"{env_file} enables forecaster {version}, which has no calibrated interval: it learnt from less than two "
            "years. Train one on a longer history (history_days), or go back with `./pipeline env rollback`"
        )
    return model, card


def preview_fields(files: Path, params: PreviewParams) -> None:
    """Fetch the previews of the window over the fields that the imagery store lacks (`fields_history.json`).

    Args:
        files: The run's `files/` folder.
        params: Source and window.

    Raises:
        BadInputError: No forecaster is promoted, or no date is left.
        SetupError: Credentials or quota; the store cannot be written.
        TransientError: The service does not answer; what was fetched stays in the store.
    """
    model, _ = enabled_forecaster()
    history = search_history(params.for_search(area_of(FIELDS.read(files))))
    if history.synthetic != model.synthetic:
        learnt, shown = ("simulated" if value else "measured" for value in (model.synthetic, history.synthetic))
        raise BadInputError(
            f"{get_settings().env_file} enables forecaster {model.version}, which learnt from {learnt} imagery, and "
            f"that of the fields is {shown}: its forecasts would say nothing. Take the source that it was trained on, "
            "or an env file whose forecaster was trained on this one"
        )
    FIELDS_HISTORY.write(files, history)


def recompute_previews(files: Path, params: PreviewParams) -> None:
    """Check that the previews are of the area and the window, and each is usable by the limits.

    Raises:
        ContractError: Another area or window, or a date that the limits exclude.
    """
    history, wanted = FIELDS_HISTORY.read(files), params.for_search(area_of(FIELDS.read(files)))
    start, end = params.window
    usable = [item for item in history.acquisitions if wanted.rejection(item.clear, item.cloud) is None]
    expected = {"geometry": area_geometry(wanted), "start": start, "end": end, "acquisitions": usable}
    check_stated(FIELDS_HISTORY.path, history, history.model_copy(update=expected))


def preview_fields_outcome(files: Path) -> StepOutcome:
    """Return the numbers of previews, and what they took."""
    history = FIELDS_HISTORY.read(files)
    dates = [acquisition.date for acquisition in history.acquisitions]
    return StepOutcome(
        metrics=PreviewMetrics(
            dates=len(dates),
            dates_fetched=sum(item.fetched for item in (*history.acquisitions, *history.unusable)),
            dates_not_usable=len(history.unusable),
            first_date=str(dates[0]),
            last_date=str(dates[-1]),
            processing_units_spent=round(history.units_spent, 2),
        ),
        provenance={"imagery source": history.source, "collection": history.collection},
        synthetic=history.synthetic,
        stand_in=history.source == "demo",
    )
