"""Samples that no step can foresee: drawn from the system's random numbers (`os.urandom`) after the step has ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import SystemRandom
from typing import TypeVar

T = TypeVar("T")
SHARE, LEAST = 0.05, 5


def draw(population: Sequence[T], *, audit: bool = False) -> list[T]:
    """Return 5 % of a population, at least five of it, in its order; all of it where it is smaller, or for an audit."""
    size = len(population) if audit else max(LEAST, math.ceil(SHARE * len(population)))
    return take(population, size)


def take(population: Sequence[T], size: int) -> list[T]:
    """Return a number of members of a population, in its order; all of it where it is smaller."""
    positions = SystemRandom().sample(range(len(population)), min(size, len(population)))
    return [population[position] for position in sorted(positions)]


def salts(count: int) -> list[int]:
    """Return random numbers of 40 bits, for checksums whose collisions no step can prepare."""
    return [SystemRandom().getrandbits(40) for _ in range(count)]
