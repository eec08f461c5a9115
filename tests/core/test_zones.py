"""Time zones as users name them."""

from datetime import timedelta

import pytest

from include.core.zones import parse_zone


@pytest.mark.parametrize(
    ("text", "hours"),
    [("+10:00", 10), ("-03:30", -3.5), ("UTC+10", 10), ("GMT-2", -2), ("+0530", 5.5), ("Z", 0), ("UTC", 0)],
)
def test_fixed_offsets(text, hours):
    assert parse_zone(text).utcoffset(None) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "+15:00", "+1:75", "Berlin", "europe", "../etc/passwd", "10:00", "localtime"])
def test_what_is_no_zone(text):
    with pytest.raises(ValueError, match="is neither an IANA zone such as Europe/Berlin nor a fixed offset"):
        parse_zone(text)
