"""The domains of this project. A new domain is a package below `include/` and one line here."""

from include.core.domain import Domain
from include.energy.domain import ENERGY
from include.satellite.domain import SATELLITE_DOMAIN

DOMAINS: tuple[Domain, ...] = (
    ENERGY,
    SATELLITE_DOMAIN,
)
