"""The first screen of a report on crops: what was decided, whether it can be trusted, the main metrics."""

from __future__ import annotations

from include.core.overview import AcceptedFiles, DataCheck, Headline, Level, Overview
from include.satellite.artifacts import CONFIGURATION, CROP_CLASSIFICATION, CROP_COMPARISON, CROP_DATA, CROP_PLOT
from include.satellite.crops.schemas import CropClasses, CropComparison, CropData
from include.satellite.schemas import REAL, Configuration

SIMULATED = "Simulated series: no result says anything about real fields."
FEW_BLOCKS_TO_WARN = 10.0
"""Effective blocks; with fewer the intervals are wide and rest on few places."""


def overview(accepted: AcceptedFiles) -> Overview | None:
    """Return the overview of a run that compared or used crop classifiers; None for any other run."""
    classes = accepted.read(CROP_CLASSIFICATION)
    if classes is not None:
        return _of_classes(classes)
    comparison, data = accepted.read(CROP_COMPARISON), accepted.read(CROP_DATA)
    if comparison is None or data is None:
        return None
    return _of_comparison(comparison, data, accepted.read(CONFIGURATION))


def _of_comparison(comparison: CropComparison, data: CropData, configuration: Configuration | None) -> Overview:
    own, gain = comparison.models[REAL], comparison.differences[0]
    if configuration is not None and configuration.promoted:
        notice = f"Promoted: {configuration.env_file} now names crop classifier {configuration.version}."
    else:
        notice = f"Not promoted: {(configuration or comparison.decision).reasons[0]}"
        if configuration is None and comparison.decision.promote:
            notice = "Every gate passed; the run has not updated the configuration."
    level: Level = "pass" if gain.is_shown else "warn"
    few = comparison.effective_blocks < FEW_BLOCKS_TO_WARN
    blocks = (
        f"{comparison.fields:,} fields in {comparison.blocks} blocks, as many as {comparison.effective_blocks:.1f} of "
        "equal size. One season: other years are not measured."
    )
    statement = f"Balanced accuracy {gain.difference:+.3f} above the best single month (95 % interval {gain.interval})."
    weakest = min(own.recall, key=lambda crop: own.recall[crop])
    return Overview(
        checks=(
            DataCheck(subject="Series against one month", level=level, statement=statement),
            DataCheck(subject="Held-out blocks", level="warn" if few else "pass", statement=blocks),
        ),
        headlines=(
            Headline(
                label="Balanced accuracy",
                value=f"{100 * own.balanced_accuracy:.0f} %",
                note=f"mean recall of {len(comparison.crops)} crops on held-out blocks",
            ),
            Headline(label="Fields", value=f"{data.fields:,}", note=f"{len(data.months)} months, from {data.file}"),
            Headline(label="Weakest crop", value=f"{100 * own.recall[weakest]:.0f} %", note=f"recall of {weakest}"),
        ),
        notices=(notice, *((SIMULATED,) * comparison.synthetic)),
        lead_plots=(CROP_PLOT.path,),
    )


def _of_classes(document: CropClasses) -> Overview:
    largest = max(document.by_crop, key=lambda crop: document.by_crop[crop])
    warnings = [finding.message for finding in document.findings if finding.severity == "warning"]
    checks = tuple(
        DataCheck(subject="Fit of the classifier", level="warn", statement=f"{message[:1].upper()}{message[1:]}.")
        for message in warnings
    )
    return Overview(
        checks=checks,
        headlines=(
            Headline(label="Fields", value=f"{document.fields:,}", note=f"by classifier {document.model_version}"),
            Headline(label="Most frequent crop", value=largest, note=f"{document.by_crop[largest]:,} fields"),
        ),
        notices=(SIMULATED,) * document.synthetic,
    )
