"""The contracts of the satellite steps."""

from __future__ import annotations

from include.core.contracts import Artifact, Credentials, Group, Step, Store
from include.satellite.datasets.documents import PatchInfo, PatchRow, SequenceInfo, SequenceRow
from include.satellite.imagery.model import Acquisition, Imagery, SearchResult
from include.satellite.imagery.params import ImageryStepParams
from include.satellite.imagery.report import ValidationReport
from include.satellite.models import model_store
from include.satellite.models.documents import CnnMetrics, LstmMetrics, ModelCard
from include.satellite.models.results import Approval, Comparison, Configuration, HealthMap
from include.satellite.params import (
    CnnDataParams,
    CnnTrainParams,
    CompareParams,
    ConfigureParams,
    HealthMapParams,
    LstmDataParams,
    LstmTrainParams,
    ValidateParams,
)

SEARCH = Artifact("search.json", SearchResult)
ACQUISITION = Artifact("acquisitions/{index}.json", Acquisition)
IMAGERY = Artifact("imagery.json", Imagery)
VALIDATED = Artifact("validated.json", Imagery)
CNN_DATA = (
    Artifact("cube.npy"),
    Artifact("scl.npy"),
    Artifact("cnn_index.parquet", PatchRow),
    Artifact("cnn_dataset.json", PatchInfo),
)
LSTM_DATA = (
    Artifact("lstm_series.npy"),
    Artifact("lstm_index.parquet", SequenceRow),
    Artifact("lstm_dataset.json", SequenceInfo),
)
CNN_MODEL = (
    Artifact("cnn_model.safetensors"),
    Artifact("cnn_model.json", ModelCard),
    Artifact("cnn_metrics.json", CnnMetrics),
)
LSTM_MODEL = (
    Artifact("lstm_model.safetensors"),
    Artifact("lstm_model.json", ModelCard),
    Artifact("lstm_metrics.json", LstmMetrics),
)
COMPARISON = Artifact("comparison.json", Comparison)
APPROVAL = Artifact("approval.json", Approval)
CONFIGURATION = Artifact("configuration.json", Configuration)

DOWNLOAD = Group(
    "download",
    "Download real satellite data",
    "Searches the catalog, looks at the clouds over the area, fetches the best dates into the imagery store.",
)
CONFIGURE = Group(
    "configure",
    "Update configuration",
    "Stores the models and, if every gate agrees, switches them on in the .env file.",
)
SCENES = Store("imagery")
MODELS = Store("models/store")
BASELINES = (Store("imagery", writable=True), Store("models/baselines", writable=True))
"""The synthetic baseline is made where it is missing, from imagery of its own."""
ACCOUNT = Credentials("sentinel_hub", "SH_CLIENT_ID", "SH_CLIENT_SECRET", ("sentinelhub", "cdse"))


def _plots(*names: str) -> tuple[Artifact, ...]:
    return tuple(Artifact(f"plot_{name}.png") for name in names)


def _npy(kind: str) -> tuple[Artifact, ...]:
    names = ("X_train", "y_train", "X_tune", "y_tune", "X_val", "y_val")
    return tuple(Artifact(f"{kind}_npy/{name}.npy", optional=True) for name in names)


IMAGERY_LIBRARIES = ("sentinelhub", "rasterio", "pyproj")
MODEL_LIBRARIES = ("torch", "numpy", "scikit-learn")

_ALL = (
    Step(
        id="search",
        title="Search for acquisitions",
        description="Asks the catalog, looks at each date at 60 m, chooses the best by cloud over the area.",
        version="1",
        params=ImageryStepParams,
        function="include.satellite.imagery.search:search",
        outcome="include.satellite.imagery.search:search_summary",
        reads=(),
        writes=(SEARCH,),
        group=DOWNLOAD,
        fans_out="include.satellite.imagery.search:chosen_dates",
        skip_param="skip_download",
        credentials=ACCOUNT,
        libraries=IMAGERY_LIBRARIES,
        in_worker=True,
    ),
    Step(
        id="download",
        title="Download an acquisition",
        description="Fetches one date into the imagery store, unless it is there and intact.",
        version="1",
        params=ImageryStepParams,
        function="include.satellite.imagery.download:download_slot",
        outcome="include.satellite.imagery.download:download_slot_summary",
        reads=(SEARCH,),
        writes=(ACQUISITION,),
        group=DOWNLOAD,
        mapped=True,
        skip_param="skip_download",
        credentials=ACCOUNT,
        libraries=IMAGERY_LIBRARIES,
        in_worker=True,
    ),
    Step(
        id="collect",
        title="Collect the acquisitions",
        description="Counts the usable ones and replaces the others by the next best dates.",
        version="1",
        params=ImageryStepParams,
        function="include.satellite.imagery.download:collect",
        outcome="include.satellite.imagery.download:collect_summary",
        reads=(SEARCH, Artifact("acquisitions/*")),
        writes=(IMAGERY,),
        group=DOWNLOAD,
        skip_param="skip_download",
        credentials=ACCOUNT,
        libraries=IMAGERY_LIBRARIES,
        in_worker=True,
    ),
    Step(
        id="validate",
        title="Validate data quality",
        description="Checks every acquisition, and that enough usable dates are left.",
        version="1",
        params=ValidateParams,
        function="include.satellite.imagery.validation:validate",
        outcome="include.satellite.imagery.validation:validate_summary",
        reads=(IMAGERY,),
        writes=(VALIDATED, Artifact("validation_report.json", ValidationReport), *_plots("contact_sheet", "ndvi")),
        skip_param="skip_validation",
        libraries=("rasterio", "numpy", "matplotlib"),
        stores=(SCENES,),
    ),
    Step(
        id="prepare_cnn",
        title="Prepare CNN training data",
        description="Cuts labelled patches, split by place and date before any balancing.",
        version="1",
        params=CnnDataParams,
        function="include.satellite.datasets.patches:prepare_cnn",
        outcome="include.satellite.datasets.patches:prepare_cnn_summary",
        reads=(VALIDATED,),
        writes=(*CNN_DATA, *_npy("cnn")),
        libraries=("rasterio", "numpy"),
        stores=(SCENES,),
    ),
    Step(
        id="prepare_lstm",
        title="Prepare LSTM training data",
        description="Makes NDVI series of places, split by place and date.",
        version="1",
        params=LstmDataParams,
        function="include.satellite.datasets.sequences:prepare_lstm",
        outcome="include.satellite.datasets.sequences:prepare_lstm_summary",
        reads=(VALIDATED,),
        writes=(*LSTM_DATA, *_npy("lstm")),
        libraries=("rasterio", "numpy"),
        stores=(SCENES,),
    ),
    Step(
        id="train_cnn",
        title="Train CNN",
        description="Trains the classifier of crop health and measures it on held-out places and dates.",
        version="1",
        params=CnnTrainParams,
        function="include.satellite.models.training:train_cnn",
        outcome="include.satellite.models.summaries:train_cnn_summary",
        reads=(VALIDATED, *CNN_DATA),
        writes=(*CNN_MODEL, *_plots("cnn_training", "cnn_confusion")),
        scratch=("checkpoints/cnn",),
        libraries=MODEL_LIBRARIES,
    ),
    Step(
        id="train_lstm",
        title="Train LSTM",
        description="Trains the forecaster of NDVI and measures it on held-out places and later dates.",
        version="1",
        params=LstmTrainParams,
        function="include.satellite.models.training:train_lstm",
        outcome="include.satellite.models.summaries:train_lstm_summary",
        reads=(VALIDATED, *LSTM_DATA),
        writes=(*LSTM_MODEL, *_plots("lstm_training", "lstm_forecast")),
        scratch=("checkpoints/lstm",),
        libraries=MODEL_LIBRARIES,
    ),
    Step(
        id="compare",
        title="Compare models",
        description="Holds the models against the synthetic baseline, the champion and naive baselines, and decides.",
        version="1",
        params=CompareParams,
        function="include.satellite.models.comparison:compare",
        outcome="include.satellite.models.comparison:compare_summary",
        reads=(VALIDATED, *CNN_DATA, *LSTM_DATA, *CNN_MODEL, *LSTM_MODEL),
        writes=(COMPARISON, *_plots("comparison")),
        libraries=MODEL_LIBRARIES,
        stores=(*BASELINES, MODELS),
        env_keys=model_store.SWITCHES,
    ),
    Step(
        id="approve",
        title="Ask for approval",
        description="Shows a person what would change, where the run asks for that.",
        version="1",
        params=ConfigureParams,
        function="",
        reads=(COMPARISON,),
        writes=(APPROVAL,),
        group=CONFIGURE,
        libraries=(),
        in_worker=True,
    ),
    Step(
        id="configure",
        title="Update the .env file",
        description="Stores the models; switches them on if every gate and, where asked, a person agrees.",
        version="1",
        params=ConfigureParams,
        function="include.satellite.models.promotion:configure",
        outcome="include.satellite.models.promotion:configure_summary",
        notice="include.satellite.notices:promotion_notice",
        reads=(COMPARISON, APPROVAL, *CNN_MODEL, *LSTM_MODEL),
        writes=(CONFIGURATION,),
        group=CONFIGURE,
        libraries=("mlflow-skinny",),
        in_worker=True,
    ),
    Step(
        id="draw_map",
        title="Draw the crop-health map",
        description="Classifies the latest usable date: by the model that the .env file switches on, else by NDVI.",
        version="1",
        params=HealthMapParams,
        function="include.satellite.models.health_map:draw_map",
        outcome="include.satellite.models.health_map:health_map_summary",
        reads=(Artifact("source/*"),),
        writes=(Artifact("health_map.tif"), Artifact("health_map.json", HealthMap), *_plots("health_map")),
        libraries=(*MODEL_LIBRARIES, "rasterio"),
        stores=(SCENES, MODELS),
        env_keys=model_store.SWITCHES,
    ),
)

SATELLITE_STEPS = {step.id: step for step in _ALL}
