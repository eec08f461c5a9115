"""JSON becomes a table: one line a record, numbers as they are written, and never a list that was guessed."""

import json

import pytest

from include.core.errors import BadInputError
from include.energy import json_documents
from include.energy.json_documents import is_json, write_records


@pytest.fixture
def table(tmp_path):
    def table(content):
        (tmp_path / "d.json").write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        write_records(tmp_path / "d.json", "d.json", tmp_path / "out.csv")
        return (tmp_path / "out.csv").read_text(encoding="utf-8")

    return table


@pytest.mark.parametrize("head", [b'{"a": 1}', b'\xef\xbb\xbf [\n {"a"', b"[[1, 2]]", b"[]", b'["a"]', b"{}"])
def test_json_is_known_by_its_beginning(head):
    assert is_json(head)


@pytest.mark.parametrize("head", [b"a,b\n", b"[Meter 7]\ntime;kWh\n", b"{time}\n", b"", b"2024-01-01,1\n"])
def test_text_with_brackets_is_not_json(head):
    assert not is_json(head)


def test_records_stand_one_line_after_their_number(table):
    assert table('{"data": [{"start": "2024-01-01T00:00:00Z", "kwh": 0.10}, {"start": "x, y", "kwh": 1e-3}]}') == (
        'start,kwh\n2024-01-01T00:00:00Z,0.10\n"x, y",1e-3\n'
    )


def test_numbers_keep_their_digits_and_other_values_are_plain(table):
    content = '[{"a": 12345678901234567890.10, "b": null, "c": true}, {"a": "two\\nlines", "b": [1, "x"], "d": ""}]'
    assert table(content).splitlines() == [
        "a,b,c,d",
        "12345678901234567890.10,,true,",
        'two lines,"[""1"", ""x""]",,',
    ]


def test_objects_in_records_are_flattened(table):
    assert table([{"period": {"start": "t", "end": "u"}, "kwh": 1}]) == "period.start,period.end,kwh\nt,u,1\n"


def test_pairs_become_columns_by_number(table):
    assert table({"results": [{"series": [{"values": [["t", 1], ["u", 2]]}]}]}) == "0,1\nt,1\nu,2\n"


def test_a_list_is_found_wherever_it_stands_and_lists_without_numbers_are_passed_by(table):
    document = {"meta": {"links": [{"rel": "self", "href": "/a"}]}, "energy": {"values": [{"date": "t", "value": 5}]}}
    assert table(document) == "date,value\nt,5\n"


def test_json_lines_are_read_line_by_line(table):
    assert table('{"t": "a", "kwh": 1}\n\n{"t": "b", "w": 2}') == "t,kwh,w\na,1,\nb,,2\n"


def test_json_lines_have_no_limit_and_documents_have_one(table, monkeypatch):
    monkeypatch.setattr(json_documents, "MAX_BYTES", 1024**2)
    lines = '{"t": "2024-01-01T00:00:00Z", "kwh": 1}\n' * 50_000
    assert table(lines).count("\n") == 50_001
    with pytest.raises(BadInputError, match=r"^d\.json: is a JSON document of more than 1 MiB; write its"):
        table(f"[{lines.strip().replace(chr(10), ',')}]")
    with pytest.raises(BadInputError, match=r"^d\.json: holds a line of more than 1 MiB"):
        table('{"t": 1}\n{"t": "' + "x" * 2**21)


def test_several_lists_of_readings_are_named_and_none_is_taken(table):
    day = [{"t": "a", "kwh": 1}, {"t": "b", "kwh": 2}]
    with pytest.raises(BadInputError) as refused:
        table({"import": day, "export total": day[:1], "note": "x"})
    assert str(refused.value) == (
        'd.json: holds 2 lists of records, and nothing says which one is meant: .import (2), .["export total"] (1); '
        "write each one into its own file, for example: jq '.import' d.json > one.json"
    )


def test_records_that_hold_lists_of_records_are_not_mistaken_for_these(table):
    meters = [{"meter": "a", "readings": [{"t": "x", "kwh": 1}]}, {"meter": "b", "kwh": 7}]
    with pytest.raises(BadInputError, match=r"holds 2 lists of records.*: \.\[0\]\.readings \(1\), \. \(2\)"):
        table(meters)
    assert table(meters[:1]) == "t,kwh\nx,1\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"2024-01-01": 1, "2024-01-02": 2}', "holds no list of records"),
        ("[]", "holds no list of records"),
        ("[1, 2, 3]", "holds no list of records"),
        ('[{"t": 1}, 5]', "holds no list of records"),
        ('[{"t": "a", "kwh": NaN}]', "is not valid JSON .NaN is not a number of JSON"),
        ('[{"t": 1, "t": 2}]', "is not valid JSON .an object has a key twice, among t, t"),
        ('[{"a": {"b": 1}, "a.b": 2}]', "record 1: has the key 'a.b' twice"),
        ('[{"t": 1}', "is not valid JSON"),
        ("[" * 100_000, "is nested too deeply|is not valid JSON"),
        ('{"t": 1}\n{"t": 2', "line 2: is not valid JSON"),
        ('{"t": 1}\n{"t": 2}\n[3]', "line 3: is not an object"),
    ],
)
def test_what_is_not_a_list_of_records_is_refused(table, content, reason):
    with pytest.raises(BadInputError, match=rf"^d\.json: .*({reason})"):
        table(content)
