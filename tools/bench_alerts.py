"""Measures the alerts of fields on simulated seasons; prints a table.

A false alarm is an alert of a kind other than `no data` that no imposed fall explains: it is dated before the fall,
more than 60 days after it, or on a field without one. A fall counts as found if an alert of its field is confirmed on
the first or the second clear pass of that field after it; "seen in time" are falls whose second clear pass comes at
most 20 days after the last one before the fall. Falls are imposed on one field-season in ten. Seeds 0 to
9, 100 to 404 and 600 to 610 were looked at while the method was developed, and are not to be reported.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field

from include.satellite.fields.analysis import analyse
from tools.simulated_seasons import EPOCH, MEADOW, Simulation, simulate
from tools.stack import say

LATER_D, IN_TIME_D = 60, 20


@dataclass
class Score:
    """Falls that were imposed and found, on crops and meadows, and false alarms by kind."""

    imposed: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    field_seasons: int = 0

    def rate(self, which: str) -> str:
        """Return which share of falls was found."""
        count = self.imposed[which]
        return f"{self.found[which] / count:.0%} of {count}" if count else "–"


def main() -> None:
    """Run the simulations, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="100-104", help="FIRST-LAST")
    parser.add_argument("--fields", type=int, default=300)
    parser.add_argument("--years", type=int, default=2)
    parser.add_argument("--spread-days", type=float, default=4.0, help="how far fields of one crop are apart, 1 sd")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    say(f"seeds {first}-{last}, {arguments.fields} fields, {arguments.years} years, {arguments.spread_days:g} days")
    say("| fall | found on crops | of which seen in time | found on meadows | false alarms a field-season | of which |")
    say("|---|---|---|---|---|---|")
    for depth in (0.0, 0.05, 0.10, 0.15, 0.20, 0.30):
        total = Score()
        for seed in range(first, last + 1):
            share = 0.1 if depth else 0.0
            world = simulate(
                seed,
                fields=arguments.fields,
                years=arguments.years,
                falls=share,
                depth=depth,
                spread_d=arguments.spread_days,
            )
            add_score(world, total)
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(total.wrong.items()))
        rates = " | ".join(total.rate(which) for which in ("crop", "in time", "meadow"))
        say(f"| {depth:.2f} | {rates} | {total.wrong.total() / total.field_seasons:.3f} | {kinds} |")


def add_score(world: Simulation, total: Score) -> None:
    """Add what the analysis of a simulation found."""
    as_of = max(world.observations["date"]).date()
    alerts = analyse(world.observations, world.fields, as_of=as_of).alerts
    alerts = alerts[alerts["kind"] != "no data"]
    stated = [
        (name, (day - EPOCH).days, kind)
        for name, day, kind in zip(*(alerts[column] for column in ("field_id", "date", "kind")), strict=True)
    ]
    meadows = set(world.fields["field_id"][world.fields["crop"] == MEADOW])
    for name, day, _ in world.falls:
        passes = world.clear[name]
        after, before = passes[passes >= day][:2], passes[passes < day]
        hit = any(other == name and at in after for other, at, _ in stated)
        in_time = len(after) == 2 and len(before) > 0 and bool(after[-1] - before[-1] <= IN_TIME_D)
        for which in ["meadow"] if name in meadows else ["crop", *["in time"] * in_time]:
            total.imposed[which] += 1
            total.found[which] += hit
    total.wrong += Counter(
        kind
        for name, at, kind in stated
        if not any(other == name and day <= at <= day + LATER_D for other, day, _ in world.falls)
    )
    total.field_seasons += world.field_seasons


if __name__ == "__main__":
    main()
