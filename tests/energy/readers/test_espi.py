"""Green Button (ESPI): what a value means its ReadingType says, or the user; nothing else."""

import gzip

import duckdb
import pytest

from include.core.errors import BadInputError
from include.energy.params import GeneratorParams
from include.energy.readers.base import Reading, choose, find_readers, take_sample
from include.energy.readers.espi import READER, IntervalReading, Resource, items

PARAMS = GeneratorParams(files=("g.xml",))
START = 1704067200  # 2024-01-01T00:00:00Z
WH = {"accumulationBehaviour": 4, "commodity": 1, "flowDirection": 1, "powerOfTenMultiplier": 0, "uom": 72}


def readings_xml(values, start=START, seconds=1800, duration=None):
    return "\n".join(
        f"<IntervalReading><timePeriod><duration>{duration or seconds}</duration>"
        f"<start>{start + number * seconds}</start></timePeriod><value>{value}</value></IntervalReading>"
        for number, value in enumerate(values)
    )


def entry(content, own="", up="", related=(), title=""):
    links = [("self", own), ("up", up), *(("related", link) for link in related)]
    shown = "".join(f'<link rel="{relation}" href="{link}"/>' for relation, link in links if link)
    return f"<entry>{shown}<title>{title}</title><content>{content}</content></entry>"


def resource(kind, content="", **links):
    return entry(f'<{kind} xmlns="http://naesb.org/espi">{content}</{kind}>', **links)


def reading_type(fields=WH, **links):
    return resource("ReadingType", "".join(f"<{key}>{value}</{key}>" for key, value in fields.items()), **links)


def series(point="1", name="1", kind="7", values=(100, 200), **times):
    """The MeterReading of a UsagePoint and its block, linked as the specification does it."""
    own = f"Customer/9/UsagePoint/{point}/MeterReading/{name}"
    return resource(
        "MeterReading", own=own, up=own.rpartition("/")[0], related=[f"{own}/IntervalBlock", f"ReadingType/{kind}"]
    ) + resource(
        "IntervalBlock", readings_xml(values, **times), own=f"{own}/IntervalBlock/5", up=f"{own}/IntervalBlock"
    )


def usage_point(point="1", service=0, **links):
    content = f"<ServiceCategory><kind>{service}</kind></ServiceCategory>"
    return resource("UsagePoint", content, own=f"https://example.org/Customer/9/UsagePoint/{point}", **links)


def feed(*entries):
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n'
        + "\n".join(entries)
        + "\n</feed>\n"
    )


@pytest.fixture
def sample(tmp_path):
    def sample(content):
        (tmp_path / "g.xml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return take_sample(tmp_path / "g.xml", "g.xml")

    return sample


@pytest.fixture
def read(sample):
    def read(content, unit=None):
        params = PARAMS.model_copy(update={"unit": unit})
        with duckdb.connect() as db:
            data = READER.read(sample(content), params, db)
            return data, [Reading(*row) for readings in data.batches for row in readings.fetchall()]

    return read


def refusal(read, *entries, unit=None):
    with pytest.raises(BadInputError) as refused:
        read(feed(*entries), unit)
    return str(refused.value)


def test_a_file_is_known_by_the_namespace_of_its_elements(sample):
    assert READER.sniff(sample(feed(reading_type())), PARAMS).score == 1
    assert READER.sniff(sample("<a>Time,kWh</a>"), PARAMS).score == 0
    assert READER.sniff(sample("see http://naesb.org/espi,kWh\n"), PARAMS).score == 0
    assert choose(sample(feed(reading_type())), PARAMS, find_readers()) is READER


def test_a_reading_has_the_line_of_its_element_and_the_household_of_its_links(read):
    data, readings = read(feed(usage_point(), reading_type(own="ReadingType/7"), series()))
    assert (data.unit, data.not_selected) == ("Wh", {})
    assert readings == [
        Reading(5, "Customer/9/UsagePoint/1", "2024-01-01T00:00:00Z", "100"),
        Reading(6, "Customer/9/UsagePoint/1", "2024-01-01T00:30:00Z", "200"),
    ]


def test_a_reading_type_may_stand_behind_the_readings_and_prefixes_do_not_matter(read):
    content = feed(series(), reading_type(own="ReadingType/7"), usage_point())
    spelled = content.replace(
        '<IntervalBlock xmlns="http://naesb.org/espi">', '<e:IntervalBlock xmlns:e="http://naesb.org/espi">'
    )
    for name in (
        "/IntervalBlock",
        "IntervalReading",
        "/IntervalReading",
        "timePeriod",
        "/timePeriod",
        "start",
        "/start",
    ):
        plain, marked = f"<{name}>", f"<{'/' * name.startswith('/')}e:{name.removeprefix('/')}>"
        spelled = spelled.replace(plain, marked)
    for name in ("value", "/value", "duration", "/duration"):
        spelled = spelled.replace(f"<{name}>", f"<{'/' * name.startswith('/')}e:{name.removeprefix('/')}>")
    assert "e:start" in spelled
    assert read(spelled)[1] == read(content)[1] == read(gzip.compress(content.encode()))[1]
    assert len(read(content)[1]) == 2


def test_usage_points_are_households_of_their_own(read):
    _, readings = read(
        feed(usage_point("1"), usage_point("2"), reading_type(own="ReadingType/7"), series("1"), series("2"))
    )
    assert [reading.household_id[-1] for reading in readings] == ["1", "1", "2", "2"]


def test_without_links_the_title_or_the_file_names_the_household(read):
    block = resource("IntervalBlock", readings_xml([1]))
    point = resource("UsagePoint", "<ServiceCategory><kind>0</kind></ServiceCategory>", title="Cabin")
    assert read(feed(point, reading_type(), block))[1][0].household_id == "Cabin"
    assert read(feed(reading_type(), block))[1][0].household_id == "g"


@pytest.mark.parametrize(("multiplier", "power"), [(0, "125"), (3, "125000"), (-3, "0.125")])
def test_the_power_of_ten_of_the_reading_type_is_applied_to_the_last_digit(read, multiplier, power):
    kind = reading_type(WH | {"powerOfTenMultiplier": multiplier})
    assert read(feed(kind, resource("IntervalBlock", readings_xml([125]))))[1][0].power == power


def test_the_power_of_ten_is_zero_where_it_is_not_stated(read):
    fields = {key: value for key, value in WH.items() if key != "powerOfTenMultiplier"}
    assert read(feed(reading_type(fields), resource("IntervalBlock", readings_xml([125]))))[1][0].power == "125"
    message = refusal(
        read, reading_type(WH | {"powerOfTenMultiplier": "k"}), resource("IntervalBlock", readings_xml([1]))
    )
    assert message == "g.xml: the powerOfTenMultiplier 'k' is not a whole number"


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"flowDirection": 19}, "energy fed into the grid"),
        ({"flowDirection": 4}, "net energy"),
        ({"commodity": 7}, "natural gas"),
        ({"uom": 38}, "values in W"),
        ({"uom": 169}, "values in therm"),
        ({"uom": 73}, "values in varh"),
        ({"uom": 200}, "values of uom 200"),
        ({"accumulationBehaviour": 1}, "register readings"),
        ({"accumulationBehaviour": 3}, "register readings"),
        ({"accumulationBehaviour": 12}, "moments"),
        ({"dataQualifier": 8}, "maxima"),
    ],
)
def test_other_series_are_counted_and_never_read_and_refused_where_they_are_all(read, fields, label):
    entries = [
        usage_point(),
        reading_type(own="ReadingType/7"),
        reading_type(WH | fields, own="ReadingType/8"),
        series(),
        series(name="2", kind="8", values=[7, 8, 9]),
    ]
    data, readings = read(feed(*entries))
    assert [reading.power for reading in readings] == ["100", "200"]
    assert data.not_selected == {label: 3}
    message = refusal(read, usage_point(), entries[2], entries[4])
    assert message == f"g.xml: holds no interval readings of delivered electricity in Wh, but {label}"


def test_gas_is_known_by_its_usage_point_too(read):
    fields = {key: value for key, value in WH.items() if key != "commodity"}
    assert "but natural gas" in refusal(
        read, usage_point(service=1), reading_type(fields, own="ReadingType/7"), series()
    )


def test_without_a_reading_type_the_unit_is_asked_for(read):
    block = resource("IntervalBlock", readings_xml([100, 200]))
    assert refusal(read, block) == (
        "g.xml: has no ReadingType, so what its values are is open; if they are the energy of each interval, state the "
        "unit: --unit Wh (or kWh, MWh)"
    )
    assert [reading.power for reading in read(feed(block), "Wh")[1]] == ["100", "200"]
    assert [reading.power for reading in read(feed(block), "kWh")[1]] == ["100000", "200000"]
    assert "are energy, which --unit kW contradicts" in refusal(read, block, unit="kW")


@pytest.mark.parametrize("missing", ["uom", "accumulationBehaviour"])
def test_a_reading_type_that_leaves_open_what_values_are_is_not_completed_by_guessing(read, missing):
    kind = reading_type({key: value for key, value in WH.items() if key != missing})
    block = resource("IntervalBlock", readings_xml([100]))
    assert "has a ReadingType without uom or accumulationBehaviour, so what its values are is open" in refusal(
        read, kind, block
    )
    assert read(feed(kind, block), "Wh")[1][0].power == "100"


def test_a_unit_that_contradicts_the_reading_type_is_refused(read):
    message = refusal(read, reading_type(), resource("IntervalBlock", readings_xml([100])), unit="kWh")
    assert message == "g.xml: its readings are Wh × 10^0, which --unit kWh contradicts; leave it out"


def test_reading_types_that_no_link_assigns_are_refused(read):
    block = resource("IntervalBlock", readings_xml([100]))
    message = refusal(read, reading_type(own="ReadingType/7"), reading_type(own="ReadingType/8"), block)
    assert message.startswith(
        "g.xml: has several ReadingTypes or UsagePoints, and no link says which its readings have"
    )
    assert "no link says" in refusal(read, usage_point("1"), usage_point("2"), reading_type(), block)


def test_two_series_of_a_household_at_the_same_time_are_refused(read):
    entries = [usage_point(), reading_type(own="ReadingType/7"), series(), series(name="2", seconds=900)]
    assert refusal(read, *entries).startswith(
        "g.xml: has two series of delivered electricity for Customer/9/UsagePoint/1 at the same time, which may be"
    )
    entries[-1] = series(name="2", start=START + 3600)
    assert len(read(feed(*entries))[1]) == 4


@pytest.mark.parametrize(("seconds", "duration"), [(900, 3600), (3600, 900)])
def test_durations_that_contradict_the_starts_are_refused(read, seconds, duration):
    block = resource("IntervalBlock", readings_xml([1, 2, 3, 4], seconds=seconds, duration=duration))
    assert f"g.xml: readings of {duration} s start {seconds} s apart" in refusal(read, reading_type(), block)


def test_gaps_and_repeated_readings_and_days_of_23_hours_contradict_nothing(read):
    gap = readings_xml([1, 2]) + readings_xml([3, 4], start=START + 7200) + readings_xml([4], start=START + 9000)
    assert len(read(feed(reading_type(), resource("IntervalBlock", gap)))[1]) == 5
    days = readings_xml([1, 2], seconds=86400) + readings_xml([3], start=START + 2 * 86400 - 3600, seconds=86400)
    assert len(read(feed(reading_type(), resource("IntervalBlock", days)))[1]) == 3


def test_a_reading_without_time_or_value_is_malformed_and_odd_texts_are_passed_on(read):
    xml = "\n".join(
        [
            "<IntervalReading><value>1</value></IntervalReading>",
            f"<IntervalReading><timePeriod><start>{START}</start></timePeriod></IntervalReading>",
            "<IntervalReading><timePeriod><start>soon</start></timePeriod><value>n/a</value></IntervalReading>",
        ]
    )
    _, readings = read(feed(reading_type(), resource("IntervalBlock", xml)))
    assert readings == [
        Reading(4, None, None, None, malformed=True),
        Reading(5, None, None, None, malformed=True),
        Reading(6, "g", "soon", "n/a"),
    ]


@pytest.mark.parametrize(
    "declared", ['<!ENTITY a "1">', '<!ENTITY a SYSTEM "file:///etc/passwd">', '<!ENTITY % a "x">']
)
def test_entities_are_refused(read, declared):
    content = feed(reading_type(), resource("IntervalBlock", readings_xml(["1"])))
    content = content.replace("<feed", f"<!DOCTYPE feed [{declared}]>\n<feed", 1)
    with pytest.raises(BadInputError, match=r"^g\.xml: line 2: is not XML of Green Button: declares an entity"):
        read(content)


def test_damaged_xml_is_refused_with_its_line(read):
    content = feed(reading_type(), resource("IntervalBlock", readings_xml([1, 2])))
    with pytest.raises(BadInputError, match=r"^g\.xml: line 5: is not XML of Green Button: "):
        read(content[: content.rindex("<value>")])


def test_the_end_of_intervals_cannot_be_asked_for(sample):
    with duckdb.connect() as db, pytest.raises(BadInputError, match=r"^g\.xml: ESPI states the start of each interval"):
        READER.read(sample(feed(reading_type())), GeneratorParams(files=("g.xml",), stamp="end"), db)


def test_readings_stand_before_the_block_that_they_are_in(sample):
    first, second, block = items(sample(feed(resource("IntervalBlock", readings_xml([1, 2])))))
    assert (first, second.line) == (IntervalReading(0, 3, str(START), "1800", "1"), 4)
    assert isinstance(block, Resource)
    assert block.kind == "IntervalBlock"


def test_a_feed_is_converted_to_power_in_utc(convert):
    values = [100 + number % 7 for number in range(48)]
    done = convert({"g.xml": feed(usage_point(), reading_type(own="ReadingType/7"), series(values=values))})
    assert (done.source.unit, done.source.interval_seconds, done.source.households) == ("Wh", 1800, 1)
    assert done.records[0]["timestamp"] == "2024-01-01T00:00:00Z"
    assert sum(map(float, done.column("power_consumption"))) / 2 == pytest.approx(sum(values) / 1000)


def test_what_nothing_states_of_a_series_is_assumed(read):
    bare = {key: value for key, value in WH.items() if key not in ("commodity", "flowDirection")}
    point = resource("UsagePoint", own="https://example.org/Customer/9/UsagePoint/1")

    def assumed(fields, point):
        data, _ = read(feed(point, reading_type(fields, own="ReadingType/7"), series()))
        return [(statement.topic, statement.value, statement.assumed) for statement in data.statements]

    direction = ("direction", "delivered from the grid", True)
    assert assumed(WH, point) == []
    assert assumed(bare, usage_point()) == [direction]
    assert assumed(bare, point) == [("commodity", "electricity", True), direction]
    assert assumed(WH | {"flowDirection": 0}, usage_point()) == [direction]


def test_the_quality_of_readings_is_carried(read):
    def stated(*codes):
        return "".join(f"<ReadingQuality><quality>{code}</quality></ReadingQuality>" for code in codes)

    content = feed(usage_point(), reading_type(own="ReadingType/7"), series(values=(1, 2, 3, 4)))
    assert read(content)[0].states_quality is False
    for value, codes in ((1, (17,)), (2, (8,)), (3, (9, 19)), (4, (99,))):
        content = content.replace(f"<value>{value}</value>", f"<value>{value}</value>{stated(*codes)}")
    data, readings = read(content)
    assert data.states_quality is True
    assert [(reading.quality, reading.estimated) for reading in readings] == [
        ("validated", False),
        ("estimated using reference day", True),
        ("estimated using linear interpolation, revenue-quality", True),
        ("quality 99", False),
    ]


def both_ways(fed_in=(7, 0), **changes):
    """A connection point with a series of delivered electricity and one of what is fed in."""
    return feed(
        usage_point(),
        reading_type(own="ReadingType/7"),
        reading_type(WH | {"flowDirection": 19, "powerOfTenMultiplier": 3}, own="ReadingType/8"),
        series(),
        series(name="2", kind="8", values=fed_in, **changes),
    )


def test_what_is_fed_in_at_the_same_times_is_the_export_of_what_is_delivered(read):
    data, readings = read(both_ways())
    assert data.flows == ("export",)
    assert data.not_selected == {}
    assert [(reading.power, reading.export) for reading in readings] == [("100", "7000"), ("200", "0")]
    assert [statement.topic for statement in data.statements] == ["export"]


@pytest.mark.parametrize("changes", [{"fed_in": (7,)}, {"seconds": 900}, {"start": START + 1800}])
def test_what_is_fed_in_at_other_times_is_left_out_and_counted(read, changes):
    data, readings = read(both_ways(**changes))
    assert data.flows == ()
    assert data.not_selected == {"energy fed into the grid": len(changes.get("fed_in", (7, 0)))}
    assert [(reading.power, reading.export) for reading in readings] == [("100", None), ("200", None)]


def test_a_repeated_reading_has_its_own_export(read):
    content = both_ways(fed_in=(7, 8))
    for value in (100, 7):
        content = content.replace(readings_xml([value]), f"{readings_xml([value])}{readings_xml([value + 1])}")
    assert [(reading.power, reading.export) for reading in read(content)[1]] == [
        ("100", "7000"),
        ("101", "8000"),
        ("200", "8000"),
    ]


def test_the_quality_of_an_export_is_carried_where_it_is_another_one(read):
    estimated = "<ReadingQuality><quality>8</quality></ReadingQuality>"
    data, readings = read(both_ways().replace("<value>7</value>", f"<value>7</value>{estimated}"))
    assert data.states_quality is True
    assert [(reading.quality, reading.estimated) for reading in readings] == [
        ("without quality; export estimated using reference day", True),
        (None, False),
    ]


def test_export_becomes_power_beside_what_is_delivered(convert):
    values = [100 + number % 7 for number in range(48)]
    content = both_ways(fed_in=[number % 5 for number in range(48)])
    content = content.replace(series(), series(values=values))
    done = convert({"g.xml": content})
    assert sum(map(float, done.column("export"))) / 2 == pytest.approx(sum(number % 5 for number in range(48)))
    assert sum(map(float, done.column("power_consumption"))) / 2 == pytest.approx(sum(values) / 1000)
