"""The satellite domain."""

from pathlib import Path

from include.core.contracts import StepParams
from include.core.domain import Domain, EnvKeys, Option, Page, Pool, StandIn
from include.satellite.params import ImageryParams, ValidateParams
from include.satellite.pipeline import (
    CROP_CLASSIFICATION,
    CROP_HEALTH_MAP,
    CROP_MAP,
    FIELD_MONITORING,
    NDVI_FORECAST_MAP,
    SATELLITE,
    LookbackWindow,
)
from include.satellite.registry import store
from include.satellite.steps import SATELLITE_STEPS

HERE = Path(__file__).parent


def _switch(model: type[StepParams], param: str) -> Option:
    """Return the option that sets a parameter, described as the parameter is."""
    return Option((f"--{param.replace('_', '-')}",), str(model.model_fields[param].description), param=param)


SATELLITE_DOMAIN = Domain(
    name="satellite",
    title="Satellite",
    steps=SATELLITE_STEPS,
    image="groundtruth-satellite:latest",
    pipelines=(SATELLITE, CROP_HEALTH_MAP, FIELD_MONITORING, NDVI_FORECAST_MAP, CROP_CLASSIFICATION, CROP_MAP),
    window=LookbackWindow(),
    examples=("fields --fields fields.gpkg --source demo", "satellite --profile demo --approve"),
    options=(
        _switch(ImageryParams, "skip_download"),
        _switch(ValidateParams, "skip_validation"),
        Option(
            ("--source",),
            "Where imagery comes from. Default: demo, a local stand-in that needs no credentials.",
            param="source",
            metavar="demo|sentinelhub|cdse|stac",
        ),
        Option(
            ("--stac-url",),
            "STAC API that --source stac reads; earth-search (default) and planetary-computer are known by name.",
            param="stac_url",
            metavar="URL",
        ),
        Option(
            ("--stac-collection",),
            "Its collection of Sentinel-2 L2A. Default: that of the known API.",
            param="stac_collection",
            metavar="ID",
        ),
        Option(
            ("--scenes",),
            "Folder of GeoTIFF scenes that the stand-in serves instead of simulated ones.",
            param="scenes",
            metavar="DIR",
            parse="include.satellite.command_line:read_folder",
        ),
        Option(
            ("--mask-type",),
            "What the masks of that folder are. Default: scene classifications (SCL) whose names say so.",
            param="mask_type",
            metavar="scl|clm|clp|cloud_probability|s2cloudless|fmask",
        ),
        Option(
            ("--scale",),
            "Of the files of --scenes: reflectance = number × scale + offset. Default: their tags, else their type.",
            param="scale",
            metavar="NUMBER",
        ),
        Option(
            ("--offset",),
            "Of the files of --scenes, reflectance: -0.1 where 1000 was added to numbers of scale 0.0001.",
            param="offset",
            metavar="NUMBER",
        ),
        Option(
            ("--band-names",),
            "Of the files of --scenes, in their order; - for a band that is not used. Default: their descriptions.",
            param="band_names",
            metavar="B02,B03,…",
        ),
        Option(
            ("--bbox",),
            "Bounding box of the area, degrees. Default: Ludhiana.",
            param="bbox",
            metavar="W,S,E,N",
            parse="include.satellite.command_line:read_box",
        ),
        Option(
            ("--area", "--geojson"),
            "File whose polygons are the area: GeoJSON, GeoPackage, zipped shapefile or KML; replaces --bbox.",
            param="geojson",
            metavar="FILE[:LAYER]",
            parse="include.satellite.command_line:read_area",
        ),
        Option(
            ("--fields",),
            "File with the outlines of the fields. Default for fields to monitor: GROUNDTRUTH_FIELDS, else an example.",
            param="fields",
            metavar="FILE",
        ),
        Option(
            ("--series",),
            "Table of field, date, bands or indices, and crop (CSV or Parquet), from which crops are learnt or told.",
            param="series",
            metavar="FILE",
        ),
    ),
    profiles=HERE / "profiles",
    run_environment="include.satellite.command_line:run_environment",
    checks="include.satellite.command_line:checks",
    settings="include.satellite.params:SatelliteSettings",
    stores=("imagery", "fields", "models/baselines", "models/store", "models/tries"),
    pools=(Pool("sentinel_hub", 2, "Requests to Sentinel Hub: two at once is its limit"),),
    stand_ins=(StandIn("imagery", "include.standins.sentinel_hub", 8070, "GROUNDTRUTH_SENTINEL_HUB_URL"),),
    pages=(
        Page(
            name="models",
            title="Models",
            dag_id=SATELLITE.definition.dag_id,
            templates=HERE / "pages",
            view="include.satellite.registry.overview:models_page",
            rolls_back=True,
        ),
        Page(
            name="fields",
            title="Fields",
            dag_id=FIELD_MONITORING.definition.dag_id,
            templates=HERE / "pages",
            view="include.satellite.fields.overview:fields_page",
        ),
    ),
    housekeeping="include.satellite.imagery.retention:expired_scenes",
    env_keys=EnvKeys(
        names=store.KEYS,
        pending="include.satellite.registry.promotion:pending_change",
        after_rollback="include.satellite.registry.promotion:follow_env_file",
    ),
    labels={
        "cnn": "CNN",
        "lstm": "LSTM",
        "ndvi": "NDVI",
        "mae": "MAE",
        "rmse": "RMSE",
        "r2": "R²",
        "ndre": "NDRE",
        "ndmi": "NDMI",
        "savi": "SAVI",
        "evi": "EVI",
        "area_ha": "area (ha)",
        "not_assessed": "not assessed (ha)",
        "half_width": "interval ± (NDVI)",
        "coverage": "share held in the last year",
    },
    overview="include.satellite.overview:overview",
    charts="include.satellite.fields.charts:charts",
)
