"""Documents of the energy steps."""

from include.energy.schemas import EnergySource


def test_the_interval_of_a_household_is_its_own_or_that_of_all():
    source = EnergySource(source="files", records_written=1, households=2, intervals_by_household={"A": 900})
    assert (source.interval_of("A"), source.interval_of("B")) == (900, None)
    assert source.model_copy(update={"interval_seconds": 1800}).interval_of("B") == 1800
