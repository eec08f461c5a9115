"""The notices that satellite steps send."""

from __future__ import annotations

from include.core.contracts import Notice
from include.core.outcome import StepOutcome


def promotion_notice(outcome: StepOutcome) -> Notice | None:
    """Return the notice of the step `configure` that it promoted models; None if it did not.

    Args:
        outcome: Of the step, with the metrics `promoted`, `model_version` and `env_file`.
    """
    metrics = outcome.scalars()
    if metrics.get("promoted") is not True:
        return None
    version, env_file = metrics.get("model_version"), metrics.get("env_file")
    return Notice(
        subject=f"promoted model {version}",
        sentence=f"{env_file} now uses model {version}.",
        facts={
            "Trained on": "simulated imagery" if outcome.synthetic else "real imagery",
            "The way back": "the page Models in Airflow, or ./pipeline env rollback",
        },
    )
