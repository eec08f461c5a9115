"""Parameters of the steps that search, fetch and collect imagery."""

from __future__ import annotations

from typing import Any

from include.satellite.imagery.model import REFERENCE, REFLECTANCE_BANDS, SCL
from include.satellite.params import ImageryParams, LabelParams, LabelSource

_LABELS: dict[str, Any] = dict(LabelParams.model_fields)


class ImageryStepParams(ImageryParams):
    """What to fetch depends on what the labels will be: true stress is a band of the simulator alone."""

    label_source: LabelSource = _LABELS["label_source"]
    reference: str | None = _LABELS["reference"]

    @property
    def wants_reference(self) -> bool:
        """Whether the class raster is to come with the imagery."""
        return self.label_source == "reference" and self.reference is None

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of each file, in order: reflectances, SCL, and REFERENCE where it is wanted."""
        return (
            *REFLECTANCE_BANDS,
            *dict.fromkeys(self.extra_bands),
            SCL,
            *((REFERENCE,) if self.wants_reference else ()),
        )
