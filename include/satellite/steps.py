"""The contracts of the satellite steps."""

from __future__ import annotations

from functools import partial
from typing import Any

from include.core.contracts import SOURCES, Approval, Artifact, Credentials, Group, Step, StepParams
from include.satellite import artifacts, params
from include.satellite.artifacts import CNN, LSTM
from include.satellite.crops.params import (
    CropCompareParams,
    CropConfigureParams,
    CropDataParams,
    CropTrainParams,
    CropVerifyParams,
    SeriesParams,
)
from include.satellite.fields.params import AnalyseParams, FieldsParams, MapParams, MeasureParams, PassParams
from include.satellite.forecast.params import ForecastParams, PreviewParams
from include.satellite.registry.store import CROP_ENV_KEYS, ENV_KEYS

DOWNLOAD = Group(
    "download",
    "Download real satellite data",
    "Searches the catalog, previews the clouds over the area, fetches the best dates into the imagery store.",
)
CONFIGURE = Group(
    "configure",
    "Update configuration",
    "Verifies the predictions, stores the models and, if every gate agrees, enables them in the .env file.",
)
PASSES = Group(
    "passes",
    "Take every pass",
    "Searches the catalog for passes over the fields, fetches the new ones and checks all.",
)
STORED = "include.satellite.stored"
ACCOUNT = Credentials("sentinel_hub", "SH_CLIENT_ID", "SH_CLIENT_SECRET", ("sentinelhub", "cdse"))
MODEL_LIBRARIES = ("torch", "numpy", "scikit-learn")


def _step(step_id: str, title: str, description: str, module: str, model: type[StepParams], **contract: Any) -> Step:
    """Return a step of the domain.

    Args:
        step_id: Its id, which is also the name of its function; its outcome is read by `<id>_outcome`.
        title: Its title.
        description: One sentence on what it does.
        module: Module of its function and of its outcome, below `include.satellite`.
        model: Model of its parameters.
        contract: Other fields of `Step`; they take precedence.
    """
    path = f"include.satellite.{module}:{step_id}"
    names = {"version": "1", "function": path, "outcome": f"{path}_outcome"}
    return Step(id=step_id, title=title, description=description, params=model, **(names | contract))


_imagery_step = partial(
    _step,
    model=params.ImageryStepParams,
    group=DOWNLOAD,
    skip_param="skip_download",
    credentials=ACCOUNT,
    libraries=("sentinelhub", "rasterio", "pyproj"),
    in_worker=True,
)
_dataset_step = partial(
    _step, reads=(artifacts.VALIDATED, SOURCES), libraries=("rasterio", "numpy"), stored=f"{STORED}:validated_scenes"
)
_configure_step = partial(
    _step, module="registry.promotion", model=params.ConfigureParams, group=CONFIGURE, in_worker=True
)


def _npy(kind: str) -> tuple[Artifact, ...]:
    names = ("X_train", "y_train", "X_tune", "y_tune", "X_val", "y_val")
    return tuple(Artifact(f"{kind}_npy/{name}.npy", optional=True) for name in names)


_ALL = (
    _imagery_step(
        "search",
        "Search for acquisitions",
        "Searches the catalog, previews each date at 60 m, chooses the best by cloud over the area.",
        "imagery.search",
        reads=(),
        writes=(artifacts.SEARCH, artifacts.HISTORY),
        fans_out="include.satellite.imagery.search:chosen_dates",
    ),
    _imagery_step(
        "download",
        "Download an acquisition",
        "Fetches one date into the imagery store, unless it is there and intact.",
        "imagery.download",
        outcome=None,
        reads=(artifacts.SEARCH,),
        writes=(artifacts.ACQUISITION,),
        mapped=True,
    ),
    _imagery_step(
        "collect",
        "Collect the acquisitions",
        "Counts the usable ones and replaces the others by the next best dates.",
        "imagery.download",
        reads=(artifacts.SEARCH, artifacts.ACQUISITIONS),
        writes=(artifacts.IMAGERY,),
    ),
    _step(
        "validate",
        "Validate data quality",
        "Checks every acquisition, and that enough usable dates are left.",
        "imagery.validation",
        params.ValidateParams,
        recompute="include.satellite.proofs:prove_manifest",
        reads=(artifacts.IMAGERY,),
        writes=(artifacts.VALIDATED, artifacts.VALIDATION_REPORT, artifacts.CONTACT_SHEET, artifacts.NDVI_PLOT),
        skip_param="skip_validation",
        libraries=("rasterio", "numpy", "matplotlib"),
        stored=f"{STORED}:collected_scenes",
    ),
    _dataset_step(
        "prepare_cnn",
        "Prepare CNN training data",
        "Extracts labelled patches, split by place and date before any balancing.",
        "datasets.patches",
        params.CnnDataParams,
        recompute="include.satellite.proofs:prove_patches",
        writes=(*artifacts.CNN_DATA, *_npy("cnn")),
    ),
    _dataset_step(
        "prepare_lstm",
        "Prepare LSTM training data",
        "Extracts the NDVI series of locations, split by place and date.",
        "datasets.sequences",
        params.LstmDataParams,
        recompute="include.satellite.proofs:prove_sequences",
        reads=(artifacts.VALIDATED, artifacts.HISTORY, SOURCES),
        stored=f"{STORED}:series_scenes",
        writes=(*artifacts.LSTM_DATA, *_npy("lstm")),
    ),
    _step(
        "train_cnn",
        "Train CNN",
        "Trains the classifier of crop health and measures it on held-out places and dates.",
        "training.train",
        params.CnnTrainParams,
        outcome="include.satellite.training.report:train_cnn_outcome",
        recompute="include.satellite.proofs:prove_cnn",
        reads=(artifacts.VALIDATED, *artifacts.CNN_DATA),
        writes=CNN.all,
        scratch=(CNN.checkpoints,),
        libraries=MODEL_LIBRARIES,
    ),
    _step(
        "train_lstm",
        "Train LSTM",
        "Trains the forecaster of NDVI and measures it on held-out places and later dates.",
        "training.train",
        params.LstmTrainParams,
        outcome="include.satellite.training.report:train_lstm_outcome",
        recompute="include.satellite.proofs:prove_lstm",
        reads=(artifacts.VALIDATED, artifacts.HISTORY, *artifacts.LSTM_DATA),
        writes=LSTM.all,
        scratch=(LSTM.checkpoints,),
        libraries=MODEL_LIBRARIES,
    ),
    _step(
        "compare",
        "Compare models",
        "Compares the models with the synthetic baseline, the champion and naive baselines, and decides.",
        "evaluation.comparison",
        params.CompareParams,
        version="2",
        recompute="include.satellite.proofs:prove_comparison",
        reads=(
            artifacts.VALIDATED,
            *artifacts.CNN_DATA,
            *artifacts.LSTM_DATA,
            *CNN.stored,
            *LSTM.stored,
            CNN.predictions,
            LSTM.predictions,
        ),
        writes=(
            *(CNN.compared, LSTM.compared, artifacts.NEXT_COMPARED, *artifacts.BASELINE),
            *(artifacts.COMPARISON, artifacts.COMPARISON_PLOT),
        ),
        libraries=MODEL_LIBRARIES,
        stored=f"{STORED}:rivals",
        keep="include.satellite.registry.tries:keep_comparison",
        env_keys=ENV_KEYS,
    ),
    _step(
        "verify",
        "Verify the predictions",
        "Runs the weights of all compared models again, on held-out samples that are drawn then.",
        "evaluation.verification",
        params.VerifyParams,
        version="2",
        group=CONFIGURE,
        recompute="include.satellite.proofs:prove_verification",
        reads=(
            *artifacts.CNN_DATA,
            *artifacts.LSTM_DATA,
            *CNN.stored,
            *LSTM.stored,
            CNN.compared,
            LSTM.compared,
            LSTM.calibration,
            artifacts.NEXT_COMPARED,
            *artifacts.BASELINE,
            artifacts.COMPARISON,
        ),
        writes=(CNN.verified, LSTM.verified, LSTM.recalibrated, artifacts.NEXT_VERIFIED, artifacts.VERIFICATION),
        libraries=MODEL_LIBRARIES,
        stored=f"{STORED}:champion",
    ),
    _configure_step(
        "approve",
        "Ask for approval",
        "Shows a reviewer what would change, if the run requires approval.",
        function="",
        outcome=None,
        approval=Approval(
            question="include.satellite.registry.promotion:approval_form",
            evidence="include.satellite.registry.promotion:evidence",
            record="include.satellite.registry.promotion:write_approval",
            param="require_approval",
        ),
        reads=artifacts.DECIDES,
        writes=(artifacts.APPROVAL,),
        libraries=(),
    ),
    _configure_step(
        "configure",
        "Update the .env file",
        "Stores the models; enables them if every gate and, where required, a reviewer agrees.",
        notice="include.satellite.registry.promotion:promotion_notice",
        reads=(*artifacts.DECIDES, artifacts.APPROVAL),
        writes=(artifacts.CONFIGURATION,),
        libraries=("mlflow-skinny",),
    ),
    _step(
        "draw_map",
        "Draw the crop-health map",
        "Classifies the latest usable date: by the model that the .env file enables, else by NDVI.",
        "health_map",
        params.HealthMapParams,
        recompute="include.satellite.proofs:prove_map",
        reads=(SOURCES,),
        writes=(artifacts.HEALTH_MAP_RASTER, artifacts.HEALTH_MAP, artifacts.HEALTH_MAP_PLOT),
        libraries=(*MODEL_LIBRARIES, "rasterio"),
        stored=f"{STORED}:map_files",
        env_keys=ENV_KEYS,
    ),
)

_fields_step = partial(
    _step,
    model=PassParams,
    group=PASSES,
    credentials=ACCOUNT,
    libraries=("sentinelhub", "rasterio", "pyproj"),
    in_worker=True,
)
_FIELDS = (
    _step(
        "read_fields",
        "Read the fields",
        "Reads the outlines, ids, crops and days of the fields; refuses ids that are missing or occur twice.",
        "fields.reading",
        FieldsParams,
        recompute="include.satellite.proofs:prove_fields",
        reads=(SOURCES,),
        writes=(artifacts.FIELDS,),
        libraries=("shapely", "pyproj"),
    ),
    _fields_step(
        "find_passes",
        "Search for passes",
        "Searches the catalog for every pass over the fields, and previews each at 60 m.",
        "fields.passes",
        outcome="include.satellite.imagery.search:search_outcome",
        recompute="include.satellite.proofs:prove_plan",
        reads=(artifacts.FIELDS,),
        writes=(artifacts.SEARCH,),
    ),
    _fields_step(
        "fetch_passes",
        "Fetch the new passes",
        "Fetches the passes that the imagery store does not hold intact.",
        "fields.passes",
        outcome="include.satellite.imagery.download:collect_outcome",
        reads=(artifacts.SEARCH,),
        writes=(artifacts.IMAGERY,),
    ),
    _step(
        "check_passes",
        "Check the passes",
        "Checks every pass, as the training of models does; needs no number of them.",
        "fields.passes",
        PassParams,
        group=PASSES,
        recompute="include.satellite.proofs:prove_passes",
        reads=(artifacts.IMAGERY,),
        writes=(artifacts.VALIDATED, artifacts.VALIDATION_REPORT),
        libraries=("rasterio", "numpy"),
        stored=f"{STORED}:collected_scenes",
    ),
    _step(
        "measure_fields",
        "Measure the fields",
        "Measures each field on each pass; what was measured before on the same scene and outline is not again.",
        "fields.observations",
        MeasureParams,
        recompute="include.satellite.proofs:prove_observations",
        reads=(artifacts.FIELDS, artifacts.VALIDATED),
        writes=(artifacts.OBSERVATIONS,),
        libraries=("rasterio", "numpy", "shapely", "duckdb"),
        stored=f"{STORED}:measured_scenes",
        keep="include.satellite.fields.observations:keep_observations",
    ),
    _step(
        "analyse_fields",
        "Analyse the fields",
        "Smooths the series of each field, compares it with its own seasons and its neighbours, and states alerts.",
        "fields.monitoring",
        AnalyseParams,
        version="3",
        recompute="include.satellite.proofs:prove_analysis",
        reads=(artifacts.FIELDS, artifacts.VALIDATED, artifacts.OBSERVATIONS),
        writes=(*artifacts.ANALYSIS, artifacts.EARLY_WARNINGS),
        libraries=("numpy", "pandas", "duckdb"),
        stored=f"{STORED}:stated_alerts",
        keep="include.satellite.fields.monitoring:keep_alerts",
        notice="include.satellite.fields.monitoring:alert_notice",
    ),
    _step(
        "map_fields",
        "Write maps and tables",
        "Writes the fields with their latest values as GeoParquet and GeoPackage, new passes as COGs with STAC items.",
        "fields.products",
        MapParams,
        version="3",
        recompute="include.satellite.proofs:prove_products",
        reads=(artifacts.FIELDS, artifacts.VALIDATED, artifacts.OBSERVATIONS, artifacts.ALERTS),
        writes=artifacts.FIELD_PRODUCTS,
        libraries=("rasterio", "numpy", "shapely", "duckdb"),
        stored=f"{STORED}:mapped_scenes",
        keep="include.satellite.fields.collection:keep_passes",
    ),
)

_CROP_DATA = (artifacts.CROP_SAMPLES, artifacts.CROP_DATA)
_CROP_MODEL = (artifacts.CROP_PREDICTIONS, artifacts.CROP_WEIGHTS, artifacts.CROP_CARD)
_TREES = ("scikit-learn", "numpy", "pandas", "duckdb")
_CROPS = (
    _step(
        "read_series",
        "Read the series",
        "Reads the table of the fields' series, makes months of it, and divides the fields into blocks and folds.",
        "crops.training",
        CropDataParams,
        recompute="include.satellite.proofs:prove_series",
        reads=(SOURCES,),
        writes=_CROP_DATA,
        libraries=("numpy", "pandas", "duckdb", "pyproj", "shapely"),
    ),
    _step(
        "train_crops",
        "Train the crop classifier",
        "Predicts each field by models that saw neither its block nor its neighbours; trains the model on all.",
        "crops.training",
        CropTrainParams,
        recompute="include.satellite.proofs:prove_crops",
        reads=_CROP_DATA,
        writes=_CROP_MODEL,
        libraries=_TREES,
    ),
    _step(
        "compare_crops",
        "Compare crop classifiers",
        "Compares the classifier with single months and other models, and decides.",
        "crops.comparison",
        CropCompareParams,
        recompute="include.satellite.proofs:prove_crop_comparison",
        reads=(*_CROP_DATA, *_CROP_MODEL),
        writes=(artifacts.CROP_COMPARISON, artifacts.CROP_PLOT),
        libraries=("numpy", "pandas", "matplotlib"),
        keep="include.satellite.registry.tries:keep_crop_comparison",
        env_keys=CROP_ENV_KEYS,
    ),
    _step(
        "verify_crops",
        "Verify the predictions",
        "Trains all models again without a fold that is drawn then, and predicts its fields.",
        "crops.verification",
        CropVerifyParams,
        group=CONFIGURE,
        recompute="include.satellite.proofs:prove_crop_verification",
        reads=(*_CROP_DATA, *_CROP_MODEL, artifacts.CROP_COMPARISON),
        writes=(artifacts.CROP_VERIFIED, artifacts.CROP_VERIFICATION),
        libraries=_TREES,
    ),
    _configure_step(
        "approve_crops",
        "Ask for approval",
        "Shows a reviewer what would change, if the run requires approval.",
        model=CropConfigureParams,
        function="",
        outcome=None,
        approval=Approval(
            question="include.satellite.crops.promotion:crop_approval_form",
            evidence="include.satellite.crops.promotion:crop_evidence",
            record="include.satellite.registry.promotion:write_approval",
            param="require_approval",
        ),
        reads=artifacts.CROP_DECIDES,
        writes=(artifacts.APPROVAL,),
        libraries=(),
    ),
    _configure_step(
        "configure_crops",
        "Update the .env file",
        "Stores the classifier; enables it if every gate and, where required, a reviewer agrees.",
        module="crops.promotion",
        model=CropConfigureParams,
        outcome="include.satellite.registry.promotion:configure_crops_outcome",
        notice="include.satellite.registry.promotion:promotion_notice",
        reads=(*artifacts.CROP_DECIDES, artifacts.APPROVAL),
        writes=(artifacts.CONFIGURATION,),
        libraries=("numpy", "pandas", "mlflow-skinny"),
    ),
)
CLASSIFY_CROPS = _step(
    "classify_crops",
    "Classify the fields",
    "Gives each field its crop and probability, by the classifier that the .env file enables.",
    "crops.classification",
    SeriesParams,
    recompute="include.satellite.proofs:prove_classes",
    reads=(SOURCES,),
    writes=(artifacts.CROP_CLASSES, artifacts.CROP_CLASSIFICATION),
    libraries=("numpy", "pandas", "duckdb"),
    stored=f"{STORED}:classifier",
    env_keys=CROP_ENV_KEYS,
)

READ_FIELDS = _FIELDS[0]
FORECAST_STEPS = {
    step.id: step
    for step in (
        READ_FIELDS,
        _step(
            "preview_fields",
            "Preview the fields",
            "Fetches the previews of several years over the fields that the imagery store lacks.",
            "forecast.history",
            PreviewParams,
            recompute="include.satellite.proofs:prove_previews",
            reads=(artifacts.FIELDS,),
            writes=(artifacts.FIELDS_HISTORY,),
            skip_param="skip_download",
            credentials=ACCOUNT,
            libraries=("sentinelhub", "rasterio", "pyproj"),
            in_worker=True,
            env_keys=ENV_KEYS,
        ),
        _step(
            "forecast_fields",
            "Forecast the fields",
            "Forecasts the NDVI of each field by the promoted forecaster, and states early warnings.",
            "forecast.forecasting",
            ForecastParams,
            recompute="include.satellite.proofs:prove_forecast",
            reads=(artifacts.FIELDS, artifacts.FIELDS_HISTORY),
            writes=(
                *(artifacts.FORECAST_SERIES, artifacts.FORECASTS, artifacts.NDVI_FORECAST),
                *(artifacts.FORECAST_TABLE, artifacts.FORECAST_PACKAGE, artifacts.FORECAST_PLOT),
            ),
            libraries=("torch", "numpy", "pandas", "rasterio", "shapely", "duckdb"),
            stored=f"{STORED}:forecast_files",
            keep="include.satellite.forecast.forecasting:keep_forecast",
            env_keys=ENV_KEYS,
        ),
    )
}

MODEL_STEPS = {step.id: step for step in _ALL}
FIELD_STEPS = {step.id: step for step in _FIELDS}
CROP_STEPS = {step.id: step for step in _CROPS}
SATELLITE_STEPS = MODEL_STEPS | FIELD_STEPS | CROP_STEPS | FORECAST_STEPS | {CLASSIFY_CROPS.id: CLASSIFY_CROPS}
