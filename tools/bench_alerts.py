"""Measures the alerts of fields on simulated seasons; prints a table.

A false alarm is an alert of a kind other than `no data` that no imposed fall explains: it is dated before the fall,
more than 60 days after it, or on a field without one. A fall counts as found if an alert of its field is confirmed on
the first or the second clear pass of that field after it. Seeds 0 to 9 served to develop the method, and are not to be
reported.
"""

from __future__ import annotations

import argparse
from collections import Counter

from include.satellite.fields.analysis import analyse
from tools.simulated_seasons import EPOCH, Simulation, simulate
from tools.stack import say

LATER_D = 60


def main() -> None:
    """Run the simulations, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="100-104", help="FIRST-LAST")
    parser.add_argument("--fields", type=int, default=200)
    parser.add_argument("--years", type=int, default=2)
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    say(f"seeds {first}-{last}, {arguments.fields} fields, {arguments.years} years")
    say("| fall | field-seasons | falls | found within two clear passes | false alarms a field-season | of which |")
    say("|---|---|---|---|---|---|")
    for depth in (0.0, 0.05, 0.10, 0.15, 0.20, 0.30):
        found, imposed, wrong, seasons = 0, 0, Counter[str](), 0
        for seed in range(first, last + 1):
            world = simulate(
                seed, fields=arguments.fields, years=arguments.years, falls=0.3 if depth else 0.0, depth=depth
            )
            hits, kinds = score(world)
            found, imposed, seasons = found + hits, imposed + len(world.falls), seasons + world.field_seasons
            wrong += kinds
        share = f"{found / imposed:.1%}" if imposed else "–"
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(wrong.items()))
        say(f"| {depth:.2f} | {seasons} | {imposed} | {share} | {wrong.total() / seasons:.3f} | {kinds} |")


def score(world: Simulation) -> tuple[int, Counter[str]]:
    """Return how many falls were found in time, and the false alarms by kind."""
    as_of = max(world.observations["date"])
    alerts = analyse(world.observations, world.fields, as_of=as_of.date()).alerts
    alerts = alerts[alerts["kind"] != "no data"]
    days = [
        (field, (day - EPOCH).days, kind)
        for field, day, kind in zip(*(alerts[c] for c in ("field_id", "date", "kind")), strict=True)
    ]
    found = 0
    for field, day, _ in world.falls:
        passes = world.clear[field][world.clear[field] >= day][:2]
        found += any(name == field and at in passes for name, at, _ in days)
    wrong = Counter(
        kind
        for field, at, kind in days
        if not any(name == field and day <= at <= day + LATER_D for name, day, _ in world.falls)
    )
    return found, wrong


if __name__ == "__main__":
    main()
