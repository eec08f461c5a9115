"""The evalscripts, as the service gets them."""

from include.satellite.sensors.evalscript import download_script, preview_script
from include.satellite.sensors.sentinel2 import SENTINEL2

PREVIEW = """//VERSION=3
function setup() {
  return {
    input: ["SCL", "dataMask"],
    output: { bands: 2, sampleType: "UINT8" }
  };
}
function evaluatePixel(s) {
  return [s.SCL, s.dataMask];
}
"""
DOWNLOAD = """//VERSION=3
function setup() {
  return {
    input: ["B04", "SCL", "REFERENCE", "dataMask"],
    output: { bands: 3, sampleType: "UINT16" }
  };
}
function evaluatePixel(s) {
  if (s.dataMask !== 1) return [0, 0, 0];
  return [Math.max(1, Math.round(10000 * s.B04)), s.SCL, s.REFERENCE];
}
"""


def test_a_preview_asks_for_classes_and_the_data_mask_as_bytes():
    assert preview_script(SENTINEL2) == PREVIEW


def test_a_download_scales_reflectances_keeps_classes_and_marks_nodata_with_zero():
    assert download_script(SENTINEL2, ["B04", "SCL", "REFERENCE"]) == DOWNLOAD
