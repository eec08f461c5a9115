"""The contracts of the three energy steps."""

from __future__ import annotations

from include.core.contracts import Step
from include.energy import outcomes
from include.energy.params import AnalyzerParams, GeneratorParams, ReportParams
from include.energy.schemas import ANALYSIS, DATA, PLOTS, RECORDS, REJECTED, REPORT, REPORT_ROWS, SOURCE

ENERGY_STEPS: dict[str, Step] = {
    step.id: step
    for step in (
        Step(
            id="energy-generator",
            title="Generate meter data",
            description="Generates plausible household readings, or converts your own meter files.",
            version="1",
            params=GeneratorParams,
            function="include.energy.generator:generate",
            reads=(),
            writes=(DATA, SOURCE),
            records=outcomes.generator_records,
            outcome=outcomes.generator_outcome,
        ),
        Step(
            id="energy-analyzer",
            title="Analyze meter data",
            description="Judges every record, and adds up what the accepted ones say.",
            version="1",
            params=AnalyzerParams,
            function="include.energy.analyzer:analyze",
            reads=(DATA, SOURCE),
            writes=(ANALYSIS, RECORDS, REJECTED),
            records=outcomes.analyzer_records,
            outcome=outcomes.analyzer_outcome,
        ),
        Step(
            id="report-generator",
            title="Write the energy report",
            description="Writes the record-by-record report, the findings in plain words, and the plots.",
            version="1",
            params=ReportParams,
            function="include.energy.report:write_report",
            reads=(ANALYSIS, RECORDS, REJECTED),
            writes=(REPORT, REPORT_ROWS, *PLOTS.values()),
            records=outcomes.report_records,
            outcome=outcomes.report_outcome,
        ),
    )
}
