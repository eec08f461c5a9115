"""What people should know of a dataset before they believe a model: said in reports, decided nowhere."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from statistics import median

from include.satellite.datasets.documents import BlockPlan, PatchInfo, SequenceInfo
from include.satellite.datasets.selection import LEAST_GATED
from include.satellite.datasets.splits import SQUARES_A_SIDE, WANTED_BLOCKS

Finding = dict[str, str]


def patch_findings(info: PatchInfo) -> list[Finding]:
    """Findings about the CNN's data."""
    findings = _block_findings(info.blocks, info.patch_size, "patches")
    if info.label_source == "ndvi_rule":
        said = "labels are a threshold on the patch's own NDVI: a model that learns them imitates a rule"
        findings.append(_finding("info", said))
    if info.label_source == "next_ndvi":
        findings.append(_finding("info", f"a label is the class {_days_apart(info.dates)} later"))
    outside = [name for name in info.classes if name not in info.gate_classes]
    if outside:
        few = ", ".join(f"{name} ({info.counts['train'][name]})" for name in outside)
        said = f"fewer than {LEAST_GATED} training patches: {few}; these classes leave the gate"
        findings.append(_finding("warning", said))
    unseen = [name for name in info.gate_classes if not info.counts["validation"][name]]
    if unseen:
        findings.append(_finding("warning", f"no validation patch is {' or '.join(unseen)}: nothing judges these"))
    return findings


def sequence_findings(info: SequenceInfo) -> list[Finding]:
    """Findings about the LSTM's data."""
    return _block_findings(info.blocks, info.location_size, "locations")


def _finding(severity: str, message: str) -> Finding:
    return {"severity": severity, "message": message}


def _block_findings(plan: BlockPlan, size: int, squares: str) -> list[Finding]:
    narrowest = min(
        after - before for edges in (plan.row_edges, plan.column_edges) for before, after in pairwise(edges)
    )
    said = []
    if narrowest < SQUARES_A_SIDE * size:
        said.append(f"the area is small: blocks are only {narrowest / size:.3g} {squares} of {size} pixels a side")
    if plan.count < WANTED_BLOCKS:
        said.append(f"the area is small: {len(plan.validation)} of {plan.count} blocks is held out")
    return [_finding("info", one) for one in said]


def _days_apart(dates: list[date]) -> str:
    gaps = [(after - before).days for before, after in pairwise(dates)]
    return f"{min(gaps)} to {max(gaps)} days (median {median(gaps):g})"
