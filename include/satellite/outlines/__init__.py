"""Outlines of areas and fields, read from vector files."""
