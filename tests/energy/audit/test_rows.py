import csv

from include.energy.audit.rows import prove_report
from include.energy.params import ReportParams


def test_an_honest_report_is_proven_row_for_row(done):
    proofs = {proof.artifact: proof for proof in prove_report(done, ReportParams())}
    assert list(proofs) == ["energy_report.csv", "energy_report.parquet", "energy_totals.parquet", "output2.json"]
    rows = len((done / "energy_report.csv").read_text().splitlines()) - 1
    assert proofs["energy_report.csv"].recomputed == f"{rows:,} records, in their order"


def test_a_report_that_spells_its_values_in_another_way_is_proven(done):
    path = done / "energy_report.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(rows[0])
        for time, home, power, *rest in rows[1:]:
            writer.writerow([time.replace("Z", "+00:00"), home, f"{float(power):.6f}", *rest])
    prove_report(done, ReportParams())


def test_nothing_is_left_behind(done):
    before = sorted(done.rglob("*"))
    prove_report(done, ReportParams())
    assert sorted(done.rglob("*")) == before
