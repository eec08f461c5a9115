"""What the orchestrator recomputes of each satellite step, and how reports name it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from include.core.contracts import Artifact, imported
from include.core.outcome import Proof
from include.satellite import artifacts
from include.satellite.artifacts import CNN, LSTM

Prove = Callable[..., tuple[Proof, ...]]


def _proof(
    function: str,
    outputs: Sequence[Artifact[Any]],
    *,
    recomputed: str | None = None,
    sampled: str | None = None,
    audited: str | None = None,
) -> Prove:
    """Return a step's proof: a function that raises where outputs state something else than their inputs give.

    Args:
        function: `module:name` of `(files, params)`, imported when the step has run. One that samples takes `audit`
            too, and returns the tuple of what it drew, or nothing.
        outputs: What it proves.
        recomputed: What it recomputes of everything.
        sampled: What it recomputes of a sample.
        audited: What it recomputes in an audit; where it samples nothing, the same as ever.
    """

    def prove(files: Path, params: Any, *, audit: bool = False) -> tuple[Proof, ...]:
        options = {"audit": audit} if sampled else {}
        drawn = imported(f"include.satellite.{function}")(files, params, **options)
        draw = drawn if isinstance(drawn, tuple) else ()
        return tuple(
            Proof(artifact=artifact.path, recomputed=audited)
            if audit and audited
            else Proof(artifact=artifact.path, recomputed=recomputed, sampled=sampled, draw=draw)
            for artifact in outputs
        )

    return prove


prove_manifest = _proof(
    "imagery.validation:recompute_manifest",
    (artifacts.VALIDATED, artifacts.VALIDATION_REPORT),
    recomputed="every acquisition is a collected one; scenes of excluded dates; the report's counts",
    sampled="scenes of accepted dates",
    audited="every acquisition is a collected one; scenes of all dates; the report's counts",
)
prove_patches = _proof(
    "datasets.recomputation:recompute_patches",
    (artifacts.PATCH_INFO, artifacts.PATCH_INDEX, artifacts.CUBE, artifacts.CUBE_CLASSES),
    recomputed="every split; truth and pixels of the held-out dates",
    sampled="truth and pixels of other dates",
    audited="every split; truth and pixels of all dates",
)
prove_sequences = _proof(
    "datasets.recomputation:recompute_sequences",
    (artifacts.SEQUENCE_INFO, artifacts.SEQUENCE_INDEX, artifacts.SERIES),
    recomputed="every split; NDVI of the held-out dates",
    sampled="NDVI of other dates",
    audited="every split; NDVI of all dates",
)
prove_cnn = _proof(
    "training.recomputation:recompute_cnn",
    (CNN.metrics, CNN.predictions),
    recomputed="truth, naive predictions, and every metric from the predictions",
)
prove_lstm = _proof(
    "training.recomputation:recompute_lstm",
    (LSTM.metrics, LSTM.predictions),
    recomputed="truth, naive predictions, and every metric from the predictions",
)
prove_comparison = _proof(
    "evaluation.decision:recompute_new_comparison",
    (artifacts.COMPARISON,),
    recomputed="every score, interval and gate from the predictions",
)
prove_verification = _proof(
    "evaluation.decision:recompute_verification",
    (artifacts.COMPARISON,),
    sampled=f"predictions, by running the sealed weights on the samples in {CNN.verified.path}, {LSTM.verified.path} "
    f"and {LSTM.recalibrated.path}",
    audited="predictions, by running the sealed weights on all held-out and calibrating samples",
)
prove_map = _proof(
    "health_map:recompute_map",
    (artifacts.HEALTH_MAP, artifacts.HEALTH_MAP_RASTER),
    recomputed="place, date, author, areas and georeference; every class of the NDVI rule; of a model where it has one",
)
prove_fields = _proof(
    "fields.reading:recompute_fields",
    (artifacts.FIELDS,),
    recomputed="every field, from the file again",
)
prove_plan = _proof(
    "fields.passes:recompute_plan",
    (artifacts.SEARCH,),
    recomputed="the area of the fields; every usable date is chosen",
)
prove_passes = _proof(
    "fields.passes:recompute_passes",
    (artifacts.VALIDATED, artifacts.VALIDATION_REPORT),
    recomputed="every acquisition is a collected one; scenes of excluded dates; the report's counts",
    sampled="scenes of accepted dates",
    audited="every acquisition is a collected one; scenes of all dates; the report's counts",
)
prove_observations = _proof(
    "fields.recomputation:recompute_observations",
    (artifacts.OBSERVATIONS,),
    recomputed="which fields are observed on which pass; what earlier runs measured, from the store",
    sampled="values of fields on passes, measured again one by one",
    audited="every field on every pass of the window, measured again one by one",
)
prove_analysis = _proof(
    "fields.monitoring:recompute_analysis",
    artifacts.ANALYSIS,
    recomputed="every series, season, comparison, event and alert, from the observations again",
)
prove_products = _proof(
    "fields.products:recompute_products",
    artifacts.FIELD_PRODUCTS,
    recomputed="the latest values from the observations, what the items state, and which passes are new",
    sampled="windows of the index rasters of drawn passes, from their scenes",
    audited="the latest values from the observations, what the items state, and the complete index rasters",
)
prove_previews = _proof(
    "forecast.history:recompute_previews",
    (artifacts.FIELDS_HISTORY,),
    recomputed="the area of the fields, the window, and that the limits allow each preview",
)
prove_forecast = _proof(
    "forecast.forecasting:recompute_forecast",
    (
        *(artifacts.NDVI_FORECAST, artifacts.FORECASTS, artifacts.FORECAST_SERIES),
        *(artifacts.FORECAST_TABLE, artifacts.FORECAST_PACKAGE),
    ),
    recomputed="forecasts to come, by running the sealed weights again; every interval, expected value and warning",
    sampled="series of the fields, from drawn previews; of many earlier forecasts some",
    audited="series of the fields from all previews, and every forecast, by running the sealed weights again",
)
prove_series = _proof(
    "crops.training:recompute_series",
    (artifacts.CROP_SAMPLES, artifacts.CROP_DATA),
    recomputed="every field, crop, month, block and fold, from the table again",
)
prove_crops = _proof(
    "crops.training:recompute_training",
    (artifacts.CROP_CARD,),
    recomputed="what the card states of data and weights; crops of the predicted fields",
)
prove_crop_comparison = _proof(
    "crops.comparison:recompute_crop_comparison",
    (artifacts.CROP_COMPARISON,),
    recomputed="every score, interval and gate, from the predictions on held-out fields",
)
prove_crop_verification = _proof(
    "crops.verification:recompute_crop_verification",
    (artifacts.CROP_PREDICTIONS,),
    sampled=f"predictions, by training again without the fields in {artifacts.CROP_VERIFIED.path}",
    audited="predictions, by training again without each fold",
)
prove_classes = _proof(
    "crops.classification:recompute_classes",
    (artifacts.CROP_CLASSES, artifacts.CROP_CLASSIFICATION),
    recomputed="every crop and probability, from the table and the stored trees again",
)
