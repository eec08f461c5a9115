"""Mapping: the crop-health map."""
