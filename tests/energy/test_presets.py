"""Presets: each reads a file of its shape, what contradicts it is refused, and what the user states comes first."""

import pytest

from include.core.errors import BadInputError
from include.energy.generator import generate
from include.energy.inspection.mapping import parse_columns
from include.energy.inspection.plan import Answers
from include.energy.params import AnalyzerParams, GeneratorParams
from include.energy.presets import (
    complete_params,
    find_column,
    find_presets,
    own_folder,
    packaged,
    parse_preset,
    preset_of,
    read_preset,
    with_preset,
)
from include.energy.schemas import DATA, SOURCE
from tests.energy.conftest import Converted

WANTED = {
    "aemo", "caiso", "datadis", "e-distribucion", "e-redes", "eloverblik", "enedis", "entsoe", "entsoe-files", "ercot",
    "esb-kw", "esb-kwh", "fluvius", "green-button", "home-assistant-energy", "home-assistant-history",
    "home-assistant-statistics", "nem12", "octopus", "pjm", "smard",
}  # fmt: skip
OWN = """\
name = "works"
title = "Our works"
region = "here"
about = "What the works' logger writes."
sources = ["the logger's manual"]
timezone = "+02:00"
stamp = "end"

[columns]
timestamp = "When"
household_id = "@WORKS"
energy_wh = "Value"

[rows.Kind]
read = ["In"]
leave_out = ["Out"]
"""
ROWS = "When;Value;Kind\n" + "".join(
    f"2026-01-05 {hour:02}:00;{value};{kind}\n" for hour in range(1, 5) for kind, value in (("In", 500), ("Out", 90))
)


@pytest.fixture
def converted(files):
    """Convert a text with parameters, completed as a run completes them."""

    def converted(text, name="m.csv", **params):
        (files / "source" / name).write_text(text, encoding="utf-8")
        complete = complete_params({"files": (name,), **params})
        generate(files, GeneratorParams(**complete))
        return Converted(files)

    return converted


@pytest.fixture
def own(monkeypatch, tmp_path):
    """Write a preset of the user's own."""
    monkeypatch.setattr("include.core.settings.get_settings", lambda: type("Settings", (), {"data_dir": tmp_path}))
    (tmp_path / "formats").mkdir()

    def own(text=OWN, name="works"):
        path = own_folder() / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return own


def test_the_wanted_presets_are_there():
    assert set(packaged()) == WANTED
    assert {name for name, preset in packaged().items() if not preset.is_tried} == {"e-distribucion"}


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_preset_reads_its_specimen(converted, name):
    specimen = packaged()[name].specimen
    zone = {} if packaged()[name].timezone else {"timezone": "UTC"}
    result = converted(specimen.text, f"m{specimen.suffix}", format=name, accept_untried=True, **zone)
    hours = [result.source.interval_of(record["household_id"]) / 3600 for record in result.records]
    energy = sum(float(record["power_consumption"]) * h for record, h in zip(result.records, hours, strict=True))
    assert len(result.records) == specimen.readings
    assert energy == pytest.approx(specimen.energy_kwh, rel=1e-9)
    assert min(result.column("timestamp")) == specimen.first
    assert set(result.column("source_fault")) == {""}
    assert f"Read as the format {name}: {packaged()[name].title}; " in result.messages


@pytest.mark.parametrize("name", sorted(WANTED - {"nem12", "green-button"}))
def test_a_preset_refuses_a_file_of_another_shape(converted, name):
    with pytest.raises(BadInputError, match=rf"m\.csv: has no column .*; ./pipeline formats {name} shows"):
        converted("Time,Foo\n2026-01-01 00:00,1\n2026-01-01 01:00,2\n", format=name, accept_untried=True)


@pytest.mark.parametrize(("name", "reason"), [("nem12", "neither 100,NEM12 nor 200"), ("green-button", "not XML")])
def test_a_preset_of_another_reader_takes_no_other_file(converted, name, reason):
    with pytest.raises(BadInputError, match=reason):
        converted(ROWS, format=name)


def test_a_preset_states_unit_zone_stamp_and_rows(converted, own):
    own()
    result = converted(ROWS, format="works")
    assert result.column("timestamp")[0] == "2026-01-04T22:00:00Z"
    assert result.column("power_consumption") == ["0.5"] * 4
    assert set(result.column("household_id")) == {"WORKS"}
    stated = {item.topic: (item.value, item.evidence) for item in result.source.files[0].understood}
    by_preset = "the format works states it"
    assert stated["format"] == ("works: Our works", "the logger's manual")
    assert stated["unit"] == ("Wh", by_preset)
    assert stated["zone"] == ("+02:00", by_preset)
    assert stated["rows"] == ("only those with 'Kind' = In", by_preset)
    assert stated["not selected"] == ("'Kind' = Out", by_preset)
    assert "'Kind' = Out was not read: the format works states it." in result.messages


def test_what_the_user_states_comes_first(converted, own):
    own()
    changed = converted(
        ROWS, format="works", timezone="UTC", stamp="start", unit="kWh", where=("Kind=Out",), columns="household_id=@A"
    )
    assert changed.column("timestamp")[0] == "2026-01-05T01:00:00Z"
    assert changed.column("power_consumption") == ["90.0"] * 4
    assert set(changed.column("household_id")) == {"A"}
    stated = {item.topic: item.evidence for item in changed.source.files[0].understood}
    assert {stated[topic] for topic in ("unit", "zone", "stamps mark", "rows", "household")} == {"stated by the user"}


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (("Value", "Value kW"), r"has no column 'Value'"),
        (("Out", "Solar"), r"'Kind' holds 'Solar', which the format neither reads \(In\) nor leaves out"),
        (("In\n", "Out\n"), r"'Kind' holds 'Out', and the format reads only rows with In"),
        (("2026-01-05 04:00", "2026-01-05 24:00"), None),
    ],
)
def test_a_file_that_contradicts_its_preset_is_refused(converted, own, change, refused):
    own()
    if refused is None:
        converted(ROWS.replace(*change), format="works")
        return
    with pytest.raises(BadInputError, match=refused):
        converted(ROWS.replace(*change), format="works")


def test_a_unknown_text_far_down_is_refused(converted, own):
    own()
    rows = "".join(f"2026-01-{1 + n // 24:02} {n % 24:02}:00;1;In\n" for n in range(700) for _ in range(5))
    with pytest.raises(BadInputError, match="'Kind' holds 'Feed', which the format neither reads"):
        converted(f"When;Value;Kind\n{rows}2026-01-30 05:00;1;Feed\n{rows}", format="works")


@pytest.mark.parametrize(
    ("preset", "stated", "message"),
    [
        ('stamp = "end"', 'stamp = "start"', "the format works start contradicts the file"),
        ('"Value"', '"Value kW"', "the format works states Wh, and the file says kW"),
    ],
)
def test_a_preset_that_the_file_contradicts_is_named(converted, own, preset, stated, message):
    own(OWN.replace(preset, stated))
    rows = ROWS.replace("Value", "Value kW" if "kW" in stated else "Value").replace("04:00", "24:00")
    with pytest.raises(BadInputError, match=message):
        converted(rows, format="works")


def test_a_run_takes_an_own_preset_as_text(own):
    path = own()
    complete = complete_params({"format": "works", "timezone": None})
    assert complete == {"format": OWN, "timezone": "+02:00"}
    path.unlink()
    assert complete_params(complete) == complete
    assert preset_of(complete["format"]).title == "Our works"
    assert complete_params({"format": None}) == {"format": None}


def test_an_untried_preset_asks_for_confirmation(own):
    own(OWN.replace('["the logger\'s manual"]', "[]"))
    with pytest.raises(BadInputError, match=r"works is untried: .* add --accept-untried"):
        complete_params({"format": "works"})
    assert complete_params({"format": "works", "accept_untried": True})["timezone"] == "+02:00"


def test_there_is_no_such_preset(own):
    own()
    for name in ("fluvios", "../works", "Works"):
        with pytest.raises(BadInputError, match=r"there is no preset named .*; ./pipeline formats lists them"):
            complete_params({"format": name})
        with pytest.raises(ValueError, match="there is no preset named"):
            GeneratorParams(files=("m.csv",), format=name)


def test_an_own_preset_replaces_the_packages(own):
    assert {preset.name for preset, _ in find_presets()} == WANTED
    path = own(OWN.replace('"works"', '"aemo"', 1), "aemo")
    assert [(preset.title, where) for preset, where in find_presets() if preset.name == "aemo"] == [("Our works", path)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", r"is not TOML: "),
        (OWN.replace("energy_wh", "energy"), r"columns: needs one of power_kw, "),
        (OWN.replace("timestamp", "time"), r"columns: 'time' is not a field; the fields are timestamp, "),
        (OWN.replace("+02:00", "Nowhere"), r"timezone: timezone 'Nowhere' is neither an IANA zone"),
        (OWN.replace('"end"', '"last"'), r"stamp: Input should be 'start' or 'end'; the keys of a preset are name, "),
        (OWN.replace('title = "Our works"\n', ""), r"title: Field required"),
        (
            OWN.replace('["In"]', '["*"]').replace('["Out"]', '["*"]'),
            r"rows.Kind: read and leave_out cannot both be \*",
        ),
        (OWN.replace("region", "place"), r"region: Field required; place: Extra inputs are not permitted"),
        (OWN.replace('name = "works"', 'name = "Works"'), r"name: String should match pattern '"),
        (OWN + "[specimen]\ntext = 'a'", r"specimen.readings: Field required"),
        (OWN + 'energy_kwh = "x"', r"rows.Kind.energy_kwh: Extra inputs"),
        ('reader = "NEM12"\n' + OWN, r"columns, rows, stamp: files of NEM12 state this themselves"),
    ],
)
def test_a_faulty_preset_is_refused_by_file_key_and_rule(own, text, message):
    path = own(text)
    with pytest.raises(BadInputError, match=f"^{path}: {message}"):
        read_preset(path)


def test_a_preset_is_called_as_its_file(own):
    with pytest.raises(BadInputError, match=r"name must be 'other', as the file is called, and is 'works'"):
        read_preset(own(name="other"))
    with pytest.raises(BadInputError, match=r"cannot be read"):
        read_preset(own_folder() / "none.toml")


def test_a_reader_that_does_not_exist_is_refused(converted, own):
    own('name = "works"\ntitle = "t"\nregion = "r"\nabout = "a"\nsources = ["s"]\nreader = "MSCONS"\n')
    with pytest.raises(BadInputError, match="works: no reader is called 'MSCONS'; the readers are Green Button"):
        converted(ROWS, format="works")


def test_columns_are_found_whatever_their_punctuation_and_by_other_names():
    assert find_column("Van (datum) | From (date)", ("EAN", "van datum")) == "van datum"
    assert find_column("Van (datum) | From (date)", ("from date",)) == "from date"
    assert find_column("Van (datum) | From (date)", ("datum",)) == "Van (datum)"
    assert packaged()["octopus"].fits(("Consumption (kwh)", "Start", "End"))
    assert not packaged()["octopus"].fits(("Consumption (kwh)", "Begin", "End"))
    assert not packaged()["esb-kw"].fits(("Read Value", "MPRN", "Read Date and End Time"))
    assert not packaged()["nem12"].fits(("100", "NEM12"))


def test_answers_are_completed_by_what_a_preset_states():
    preset = parse_preset(OWN, "works")
    answers = with_preset(Answers(mapping=parse_columns("energy_kwh=Other"), stamp="start"), preset, ("When", "Kind"))
    assert answers.mapping == parse_columns("timestamp=When,household_id=@WORKS,energy_kwh=Other")
    assert (answers.stamp, answers.timezone, set(answers.rows)) == ("start", "+02:00", {"Kind"})
    assert answers.by_preset == {"timestamps", "household_id", "timezone", "rows"}


def test_both_steps_have_the_zone_of_the_preset(own):
    own()
    complete = complete_params({"format": "works", "files": ("m.csv",)})
    fields = {key: value for key, value in complete.items() if key in AnalyzerParams.model_fields}
    assert AnalyzerParams(**fields).timezone == "+02:00"
    assert DATA.path == "energy_data.csv"
    assert SOURCE.path == "energy_source.json"
