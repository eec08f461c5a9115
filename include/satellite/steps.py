"""The contracts of the satellite steps."""

from __future__ import annotations

from include.core.contracts import Approval as ApprovalQuestion
from include.core.contracts import Artifact, Credentials, Group, Step, Store
from include.satellite.artifacts import (
    ACQUISITION,
    ACQUISITIONS,
    APPROVAL,
    CNN,
    CNN_DATA,
    COMPARISON,
    COMPARISON_PLOT,
    CONFIGURATION,
    CONTACT_SHEET,
    HEALTH_MAP,
    HEALTH_MAP_PLOT,
    HEALTH_MAP_RASTER,
    IMAGERY,
    LSTM,
    LSTM_DATA,
    NDVI_PLOT,
    SEARCH,
    VALIDATED,
    VALIDATION_REPORT,
)
from include.satellite.params import (
    CnnDataParams,
    CnnTrainParams,
    CompareParams,
    ConfigureParams,
    HealthMapParams,
    ImageryStepParams,
    LstmDataParams,
    LstmTrainParams,
    ValidateParams,
)
from include.satellite.registry.store import ENV_KEYS

DOWNLOAD = Group(
    "download",
    "Download real satellite data",
    "Searches the catalog, previews the clouds over the area, fetches the best dates into the imagery store.",
)
CONFIGURE = Group(
    "configure",
    "Update configuration",
    "Stores the models and, if every gate agrees, enables them in the .env file.",
)
SCENES = Store("imagery")
MODELS = Store("models/store")
BASELINES = (Store("imagery", writable=True), Store("models/baselines", writable=True))
"""The synthetic baseline is made where it is missing, from imagery of its own."""
ACCOUNT = Credentials("sentinel_hub", "SH_CLIENT_ID", "SH_CLIENT_SECRET", ("sentinelhub", "cdse"))


def _npy(kind: str) -> tuple[Artifact, ...]:
    names = ("X_train", "y_train", "X_tune", "y_tune", "X_val", "y_val")
    return tuple(Artifact(f"{kind}_npy/{name}.npy", optional=True) for name in names)


IMAGERY_LIBRARIES = ("sentinelhub", "rasterio", "pyproj")
MODEL_LIBRARIES = ("torch", "numpy", "scikit-learn")

_ALL = (
    Step(
        id="search",
        title="Search for acquisitions",
        description="Searches the catalog, previews each date at 60 m, chooses the best by cloud over the area.",
        version="1",
        params=ImageryStepParams,
        function="include.satellite.imagery.search:search",
        outcome="include.satellite.imagery.search:search_outcome",
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
        function="include.satellite.imagery.download:download",
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
        outcome="include.satellite.imagery.download:collect_outcome",
        reads=(SEARCH, ACQUISITIONS),
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
        outcome="include.satellite.imagery.validation:validate_outcome",
        reads=(IMAGERY,),
        writes=(VALIDATED, VALIDATION_REPORT, CONTACT_SHEET, NDVI_PLOT),
        skip_param="skip_validation",
        libraries=("rasterio", "numpy", "matplotlib"),
        stores=(SCENES,),
    ),
    Step(
        id="prepare_cnn",
        title="Prepare CNN training data",
        description="Extracts labelled patches, split by place and date before any balancing.",
        version="1",
        params=CnnDataParams,
        function="include.satellite.datasets.patches:prepare_cnn",
        outcome="include.satellite.datasets.patches:prepare_cnn_outcome",
        reads=(VALIDATED,),
        writes=(*CNN_DATA, *_npy("cnn")),
        libraries=("rasterio", "numpy"),
        stores=(SCENES,),
    ),
    Step(
        id="prepare_lstm",
        title="Prepare LSTM training data",
        description="Extracts the NDVI series of locations, split by place and date.",
        version="1",
        params=LstmDataParams,
        function="include.satellite.datasets.sequences:prepare_lstm",
        outcome="include.satellite.datasets.sequences:prepare_lstm_outcome",
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
        function="include.satellite.training.train:train_cnn",
        outcome="include.satellite.training.report:train_cnn_outcome",
        reads=(VALIDATED, *CNN_DATA),
        writes=CNN.all,
        scratch=(CNN.checkpoints,),
        libraries=MODEL_LIBRARIES,
    ),
    Step(
        id="train_lstm",
        title="Train LSTM",
        description="Trains the forecaster of NDVI and measures it on held-out places and later dates.",
        version="1",
        params=LstmTrainParams,
        function="include.satellite.training.train:train_lstm",
        outcome="include.satellite.training.report:train_lstm_outcome",
        reads=(VALIDATED, *LSTM_DATA),
        writes=LSTM.all,
        scratch=(LSTM.checkpoints,),
        libraries=MODEL_LIBRARIES,
    ),
    Step(
        id="compare",
        title="Compare models",
        description="Compares the models with the synthetic baseline, the champion and naive baselines, and decides.",
        version="1",
        params=CompareParams,
        function="include.satellite.evaluation.comparison:compare",
        outcome="include.satellite.evaluation.comparison:compare_outcome",
        reads=(VALIDATED, *CNN_DATA, *LSTM_DATA, *CNN.stored, *LSTM.stored),
        writes=(COMPARISON, COMPARISON_PLOT),
        libraries=MODEL_LIBRARIES,
        stores=(*BASELINES, MODELS),
        env_keys=ENV_KEYS,
    ),
    Step(
        id="approve",
        title="Ask for approval",
        description="Shows a reviewer what would change, if the run requires approval.",
        version="1",
        params=ConfigureParams,
        function="",
        approval=ApprovalQuestion(
            question="include.satellite.registry.promotion:approval_form",
            record="include.satellite.registry.promotion:write_approval",
        ),
        reads=(COMPARISON,),
        writes=(APPROVAL,),
        group=CONFIGURE,
        libraries=(),
        in_worker=True,
    ),
    Step(
        id="configure",
        title="Update the .env file",
        description="Stores the models; enables them if every gate and, where required, a reviewer agrees.",
        version="1",
        params=ConfigureParams,
        function="include.satellite.registry.promotion:configure",
        outcome="include.satellite.registry.promotion:configure_outcome",
        reads=(COMPARISON, APPROVAL, *CNN.stored, *LSTM.stored),
        writes=(CONFIGURATION,),
        group=CONFIGURE,
        libraries=("mlflow-skinny",),
        in_worker=True,
    ),
    Step(
        id="draw_map",
        title="Draw the crop-health map",
        description="Classifies the latest usable date: by the model that the .env file enables, else by NDVI.",
        version="1",
        params=HealthMapParams,
        function="include.satellite.mapping.health_map:draw_map",
        outcome="include.satellite.mapping.health_map:draw_map_outcome",
        reads=(Artifact("source/*"),),
        writes=(HEALTH_MAP_RASTER, HEALTH_MAP, HEALTH_MAP_PLOT),
        libraries=(*MODEL_LIBRARIES, "rasterio"),
        stores=(SCENES, MODELS),
        env_keys=ENV_KEYS,
    ),
)

SATELLITE_STEPS = {step.id: step for step in _ALL}
