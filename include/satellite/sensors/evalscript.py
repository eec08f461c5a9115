"""The two evalscripts that the pipeline sends to the Process API, generated from the description of a sensor.

Both have one regular form: `setup()` names the input bands in one list, `dataMask` last, and one output. Where the
output is `UINT16`, a reflectance ρ becomes max(1, round(ρ / scale)) where `dataMask` is 1 and 0 elsewhere: harmonised
reflectance is clamped at 0, which is a value, so 0 alone could not say "nodata". Classes (SCL, REFERENCE) stay as they
are. The band's default unit is reflectance, that of the classes their number.
"""

from __future__ import annotations

from collections.abc import Sequence

from include.satellite.sensors.sensor import Sensor

DATA_MASK = "dataMask"

_FORM = """//VERSION=3
function setup() {{
  return {{
    input: [{inputs}],
    output: {{ bands: {count}, sampleType: "{sample_type}" }}
  }};
}}
function evaluatePixel(s) {{
  {body}
}}
"""


def preview_script(sensor: Sensor) -> str:
    """Return the script of a preview: scene classification and data mask as two bytes a pixel."""
    bands = (sensor.classes.band, DATA_MASK)
    return _script(bands, len(bands), "UINT8", f"return [{', '.join(f's.{band}' for band in bands)}];")


def download_script(sensor: Sensor, bands: Sequence[str]) -> str:
    """Return the script of a stored file: its bands in their order.

    Args:
        sensor: Scales the reflectances.
        bands: Reflectance bands, then the scene classification, then REFERENCE if wanted.
    """
    factor = round(1 / sensor.scale)
    values = [
        f"s.{band}" if sensor.is_class_band(band) else f"Math.max(1, Math.round({factor} * s.{band}))" for band in bands
    ]
    nothing = ", ".join("0" for _ in bands)
    body = f"if (s.{DATA_MASK} !== 1) return [{nothing}];\n  return [{', '.join(values)}];"
    return _script((*bands, DATA_MASK), len(bands), "UINT16", body)


def _script(inputs: Sequence[str], count: int, sample_type: str, body: str) -> str:
    quoted = ", ".join(f'"{band}"' for band in inputs)
    return _FORM.format(inputs=quoted, count=count, sample_type=sample_type, body=body)
