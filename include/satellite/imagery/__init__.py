"""Imagery: areas and grids, search, download, the shared store, validation."""
