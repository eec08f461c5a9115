"""Critical values of Student's t for whole degrees of freedom, without SciPy, which the orchestrator does not have."""

from __future__ import annotations

import math


def critical_value(freedom: int, level: float = 0.95) -> float:
    """Return the t beyond which (on both sides together) 1 − level of the distribution lies.

    The central probability is the finite sum of Abramowitz and Stegun (1964), 26.7.3 and 26.7.4; it is inverted by
    bisection of the angle atan(t/√n).

    >>> [round(critical_value(n), 3) for n in (1, 2, 10, 31)]
    [12.706, 4.303, 2.228, 2.04]

    Args:
        freedom: Degrees of freedom, at least 1.
        level: Central probability, between 0 and 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _central(middle, freedom) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _central(angle: float, freedom: int) -> float:
    """Return the probability of |t| < √n · tan(angle)."""
    cosine, odd = math.cos(angle), freedom % 2
    term = total = cosine if odd else 1.0
    for number in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (number - 1) / number
        total += term
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * (total if freedom > 1 else 0.0))
    return math.sin(angle) * total
