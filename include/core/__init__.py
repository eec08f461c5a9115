"""The step protocol: contracts, artifacts, the run folder and the settings."""
