"""Files that explain a run are refused before its first step."""

import pytest

from include.core.errors import BadInputError
from include.energy.run_files import check_files
from tests.energy.test_tariffs import TARIFF

METERS = "[meters.A]\nlimit_kw = 14.5\n"
FACTORS = "time,gCO2/kWh\n2026-01-01T00:00:00Z,120\n"


@pytest.fixture
def check(tmp_path):
    """Return a function that writes a file for each of some parameters, and checks them."""

    def check(timezone="Europe/Berlin", **texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.txt").write_text(text)
        check_files(tmp_path, {"timezone": timezone} | {name: f"{name}.txt" for name in texts})

    return check


def test_files_that_can_be_used_pass(check):
    check(meters=METERS, tariff=TARIFF, emissions=FACTORS)
    check(timezone="Arctic/Longyearbyen", tariff=TARIFF)
    check()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"meters": "[meters.A]\nlimit = 1\n"}, r"meters\.txt: meter A: limit: is not a key"),
        ({"meters": '[meters.A]\ntimezone = "Berlin"\n'}, r"meters\.txt: meter A: timezone: .*IANA zone"),
        ({"tariff": TARIFF.replace("currency", "money")}, r"tariff tariff\.txt: .*currency"),
        ({"tariff": TARIFF, "timezone": None}, r"its clock is Europe/Berlin, that of the run's days is UTC; run with"),
        ({"emissions": FACTORS.replace("120", "much")}, r"emissions emissions\.txt: line 2: must hold"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_field_and_the_rule(check, texts, message):
    with pytest.raises(BadInputError, match=message):
        check(**texts)
