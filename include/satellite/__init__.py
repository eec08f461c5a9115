"""The satellite pipeline: Sentinel-2 imagery → datasets → models → comparison → configuration."""
