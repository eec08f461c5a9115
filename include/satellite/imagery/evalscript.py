"""The two evalscripts that the pipeline sends to the Process API.

Both have one regular form: `setup()` names the input bands in one list, `dataMask` last, and one output. Where the
output is `UINT16`, a reflectance ρ becomes max(1, round(10000·ρ)) where `dataMask` is 1 and 0 elsewhere: harmonised
reflectance is clamped at 0, which is a value, so 0 alone could not say "nodata". Classes (SCL, REFERENCE) stay as they
are. The band's default unit is reflectance, that of the classes their number.
"""

from __future__ import annotations

from collections.abc import Sequence

from include.satellite.imagery.model import REFERENCE, SCL

DATA_MASK = "dataMask"
LOOK_BANDS = (SCL, DATA_MASK)
CLASS_BANDS = (SCL, REFERENCE)

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


def look_script() -> str:
    """Scene classification and data mask as two bytes a pixel: enough to judge a day over the area."""
    return _script(LOOK_BANDS, len(LOOK_BANDS), "UINT8", f"return [s.{SCL}, s.{DATA_MASK}];")


def download_script(bands: Sequence[str]) -> str:
    """The bands of a stored file, in their order.

    Args:
        bands: Reflectance bands, then SCL, then REFERENCE if wanted.
    """
    values = [f"s.{band}" if band in CLASS_BANDS else f"Math.max(1, Math.round(10000 * s.{band}))" for band in bands]
    nothing = ", ".join("0" for _ in bands)
    body = f"if (s.{DATA_MASK} !== 1) return [{nothing}];\n  return [{', '.join(values)}];"
    return _script((*bands, DATA_MASK), len(bands), "UINT16", body)


def _script(inputs: Sequence[str], count: int, sample_type: str, body: str) -> str:
    named = ", ".join(f'"{band}"' for band in inputs)
    return _FORM.format(inputs=named, count=count, sample_type=sample_type, body=body)
