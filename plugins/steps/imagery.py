"""Finds the imagery of earlier runs for a run that was triggered by an asset, by the clock or by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.errors import BadInputError
from include.core.settings import get_settings
from include.satellite.artifacts import latest_manifest

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context


def imagery_of(context: Context, asset: Asset) -> Mapping[str, Any]:
    """The manifest that the triggering event names, else that of the latest validated run.

    Raises:
        BadInputError: No run has validated imagery yet.
    """
    triggers: Mapping[Any, Any] = context.get("triggering_asset_events") or {}
    events = [event for each, found in triggers.items() if each.name == asset.name for event in found]
    for event in sorted(events, key=lambda each: each.timestamp, reverse=True):
        manifest = Path(event.extra.get("files", "")) / "validated.json"
        if manifest.is_file():
            return {"imagery": str(manifest)}
    found = latest_manifest(get_settings().data_dir)
    if found is None:
        raise BadInputError("there is no validated imagery yet: run satellite_pipeline first, or name a manifest")
    return {"imagery": str(found)}
