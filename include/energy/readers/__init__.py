"""Readers of meter files: each other module of this package that defines `READER` reads one format (see `base`)."""
