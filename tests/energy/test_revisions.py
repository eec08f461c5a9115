"""Overlapping exports: a measured reading before an estimated one, then the file that reaches furthest."""

COLUMNS = "timestamp=t,household_id=@A,power_kw=v"


def export(hours, value, status="A"):
    rows = (f"2026-01-05T{hour:02}:00Z,{value},{status}" for hour in hours)
    return "\n".join(["t,v,Status", *rows]) + "\n"


def faults(done):
    return {(r["source_file"], r["timestamp"][11:13]) for r in done.records if r["source_fault"] == "superseded"}


def test_a_measured_reading_replaces_an_estimated_one_in_any_order(convert):
    old, new = export(range(6), 1, "E"), export(range(4, 10), 2)
    expected = {("old.csv", "04"), ("old.csv", "05")}
    assert faults(convert({"old.csv": old, "new.csv": new}, columns=COLUMNS)) == expected
    assert faults(convert({"new.csv": new, "old.csv": old}, columns=COLUMNS)) == expected
    later_estimate = export(range(4, 10), 2, "E")
    done = convert({"old.csv": export(range(6), 1), "new.csv": later_estimate}, columns=COLUMNS)
    assert faults(done) == {("new.csv", "04"), ("new.csv", "05")}


def test_the_file_that_reaches_furthest_replaces_others_of_the_same_quality(convert):
    old, new = export(range(6), 1), export(range(4, 10), 2)
    for files in ({"old.csv": old, "new.csv": new}, {"new.csv": new, "old.csv": old}):
        assert faults(convert(files, columns=COLUMNS)) == {("old.csv", "04"), ("old.csv", "05")}


def test_equal_readings_and_those_of_one_file_are_no_revisions(convert):
    same = {"a.csv": export(range(6), 1), "b.csv": export(range(4, 10), 1)}
    assert faults(convert(same, columns=COLUMNS)) == set()
    twice = export(range(12), 1) + "2026-01-05T03:00Z,2,A\n"
    assert faults(convert(twice, columns=COLUMNS)) == set()


def test_in_a_feed_the_file_that_arrived_later_replaces_one_that_reaches_further(convert):
    month, revised = export(range(10), 1), export(range(4), 2)
    expected = {("month.csv", f"{hour:02}") for hour in range(4)}
    files = {"month.csv": month, "revised.csv": revised}
    assert faults(convert(files, columns=COLUMNS, feed="home/2026-01-05")) == expected
    assert faults(convert(files, columns=COLUMNS)) == {("revised.csv", hour) for _, hour in expected}
    measured = {"month.csv": month, "revised.csv": export(range(4), 2, "E")}
    assert faults(convert(measured, columns=COLUMNS, feed="home/2026-01-05")) == {
        ("revised.csv", h) for _, h in expected
    }
