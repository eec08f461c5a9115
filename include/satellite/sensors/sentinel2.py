"""Sentinel-2, Level-2A: surface reflectance and the scene classification (SCL) of Sen2Cor.

Wavelengths are those of the instrument on Sentinel-2A
(https://sentiwiki.copernicus.eu/web/s2-mission), classes those of the Level-2A algorithm
(https://sentiwiki.copernicus.eu/web/s2-processing).
"""

from include.satellite.sensors.sensor import Band, SceneClasses, Sensor

SENTINEL2 = Sensor(
    id="sentinel2",
    title="Sentinel-2 L2A",
    bands=(
        Band("B02", "blue", 492.4, 10),
        Band("B03", "green", 559.8, 10),
        Band("B04", "red", 664.6, 10),
        Band("B08", "nir", 832.8, 10),
        Band("B05", "rededge071", 704.1, 20, optional=True, aliases=("rededge1",)),
        Band("B8A", "nir08", 864.7, 20, optional=True, aliases=("nir_narrow", "nnir")),
        Band("B11", "swir16", 1613.7, 20, optional=True, aliases=("swir1",)),
    ),
    classes=SceneClasses(
        band="SCL",
        values={
            "no_data": 0,
            "saturated": 1,
            "dark": 2,
            "cloud_shadow": 3,
            "vegetation": 4,
            "bare_soil": 5,
            "water": 6,
            "unclassified": 7,
            "cloud_medium_probability": 8,
            "cloud_high_probability": 9,
            "thin_cirrus": 10,
            "snow": 11,
        },
        clear=("vegetation", "bare_soil", "water", "unclassified"),
        cloud=("cloud_medium_probability", "cloud_high_probability", "thin_cirrus"),
        shadow=("cloud_shadow",),
        land=("vegetation", "bare_soil"),
        water=("water",),
    ),
    scale=1e-4,
    collections=dict.fromkeys(("demo", "sentinelhub", "cdse", "stac"), "sentinel-2-l2a"),
)
