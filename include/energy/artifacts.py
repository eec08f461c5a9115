"""The artifacts of the energy steps, each named once."""

from __future__ import annotations

from include.core.contracts import Artifact
from include.energy.schemas import (
    Analysis,
    EnergyRecord,
    EnergyReport,
    EnergySource,
    RawReading,
    RejectedRecord,
    ReportRow,
)

DATA = Artifact("energy_data.csv", RawReading)
SOURCE = Artifact("energy_source.json", EnergySource, optional=True)  # other generators need not write it
ANALYSIS = Artifact("output1.json", Analysis)
RECORDS = Artifact("energy_records.parquet", EnergyRecord)
REJECTED = Artifact("rejected.csv", RejectedRecord, may_be_empty=True)
REPORT = Artifact("output2.json", EnergyReport)
REPORT_ROWS = Artifact("energy_report.csv", ReportRow)
PLOTS = {
    name: Artifact(f"plot_{name}.png") for name in ("load_curve", "heat_map", "households", "anomalies", "records")
}
