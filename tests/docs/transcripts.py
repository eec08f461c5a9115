"""Commands that the README, the guides and the runbook show, what is shown under them, and how each is tried."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/guides/*.md")), *sorted(ROOT.glob("docs/runbook/*.md"))]
STARTS = (
    r"(?:\w+=\S+ |source \S+ && )*(?:\./pipeline|make|airflow|python3?|\.venv/bin/\S+|tools/\S+|docker|duckdb|curl) "
)
PROGRAM = re.compile(rf"(\$ )?({STARTS}.*)$")


@dataclass(frozen=True)
class Shown:
    """A command of a page.

    Attributes:
        page: Relative to the repository.
        command: In one line, without the comment behind it.
        output: What the page shows under it; empty where it shows the command alone.
    """

    page: str
    command: str
    output: str = ""

    def __str__(self) -> str:
        return f"{self.page}: {self.command}"


def shown_by(page: Path) -> list[Shown]:
    """Return the commands in a page's blocks. In a transcript they begin with `$`, and what they print follows."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found = []
    for text in (re.sub(r"\\\n\s*", " ", text) for language, text in blocks if language in ("", "bash", "sh")):
        transcript = re.search(r"^\$ ", text, re.MULTILINE)
        for line in text.splitlines():
            match = PROGRAM.match(line)
            if match and bool(match[1]) == bool(transcript):
                command = " ".join(re.split(r"\s+# |\s{3,}", match[2], maxsplit=1)[0].split())
                found.append(Shown(page.relative_to(ROOT).as_posix(), command))
            elif transcript and found:
                last = found[-1]
                found[-1] = Shown(last.page, last.command, f"{last.output}{line}\n")
    return found


def first_difference(shown: str, printed: str) -> str | None:
    """Return the first part of what a page shows that a command did not print in this order, or None.

    Numbers, times and widths do not count, nor where lines are broken. `…` stands for anything, lines too.
    """
    place, whole = 0, _shape(printed)
    for part in filter(None, map(str.strip, _shape(shown).split("…"))):
        found = whole.find(part, place)
        if found < 0:
            return part
        place = found + len(part)
    return None


def _shape(text: str) -> str:
    text = re.sub(r"\d[\d.,:TZ_+-]*[0-9a-f]*(?:-[0-9a-f]{4,})?", "0", text)
    return " ".join(re.sub("─+", "─", text).split())


ALL = [one for page in PAGES for one in shown_by(page)]
"""Every command that a page shows."""

IN_PROCESS = r"pipeline (inspect .*\.csv|formats|housekeeping --dry-run|params satellite|validate docs|env diff$)"
"""Commands that start no Airflow: `tests/docs/test_transcripts.py` runs them."""

IN_A_CHECKOUT = (
    r"README.*run energy( |$)",
    r"adding-a-pipeline.*pipeline (new|run|params)",
    r"ci\.md: source env\.sh",
    r"energy\.md: \./pipeline",
    r"fields\.md: \./pipeline run fields( --end .*)?$",
    r"forecast\.md: \./pipeline run forecast$",
    r"generated-data",
    r"operating\.md: (\./pipeline (run|metrics|watch energy$)|python3)",
    r"own-data.*(run energy|inspect --format fluvius)",
    r"real-imagery.*--scenes in",
    r"satellite\.md: airflow backfill",
    r"README.*services (up|down)|README.*run energy_services",
    r"services\.md: \./pipeline (services (up|status|down)|run)",
    r"upgrading\.md",
    r"what-is-proven.*energy",
    r"runbook.*: (\./pipeline doctor|airflow (dags|pools) list)",
    r"README.*profile demo",
    r"(forecast|promotion)\.md: GROUNDTRUTH_ENV_FILE",
)
"""Commands that `tests/e2e/test_documented_commands.py` runs, by page and command."""

ELSEWHERE = {
    r"docker|make (up|down)|v2/monitor": "a running stack: tests/e2e/test_stack*.py",
    r"make (run|test|setup|images)|tools/setup": "the set-up of that checkout, and .ci/run on a fresh clone",
    r"make soak|pip install mlflow|apprise|services\.sentinel-hub\.com": "hours, or the network",
    r"--source (cdse|sentinelhub|stac)|sentinel_hub.*connection|connections (add|get)": "an account, or the network",
    r"inspect FILE…|FILE\.json|RUN|--scenes DIR|reference=/path|/tmp/again|duckdb|ENTRY": "names of the user's own",
    r"real-data|romania|belgium|crops\.md|invekos|indices=": "measured data: tests/dags, tests/cli/test_real_data.py",
    r"pipeline inbox": "tests/cli/test_inbox.py, tests/e2e/test_inbox.py",
    r"forget": "tests/cli/test_forget.py",
    r"env (rollback|history|diff)": "tests/cli/test_env.py",
    r"airflow (dags t|backfill create --dag-id energy)": "tests/e2e/test_dags_test.py",
    r"include\.(standins|control)|localhost:8765|services check|SERVICE_URL": "tests/standins, control, cli",
    r"\| jq": "jq",
    r"profile demo": "tried once, with the README",
}
"""Other commands, and what they need or which tests run their like."""
