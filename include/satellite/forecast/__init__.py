"""The forecast of NDVI by field: series from previews of several years, drawn by the promoted forecaster alone."""
