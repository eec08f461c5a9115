"""The live page of an approval: what the run asks now, for users who may see its required actions."""

import re

import pytest

from include.core import approvals
from include.core.approvals import Question
from include.core.errors import ContractError
from include.core.run_folder import RunFolder
from plugins.reports.web import approvals as page
from plugins.reports.web.approvals import approval_steps
from tests.evidence import text_evidence
from tests.reporting.runs import plan

pytestmark = pytest.mark.airflow

RUN = "manual__2026-03-01"
PAGE = f"/groundtruth/dags/satellite_pipeline/runs/{RUN}/approval"


@pytest.fixture
def run(data_dir):
    folder = RunFolder(data_dir / "runs" / "satellite_pipeline" / RUN)
    plan(folder, dag_id="satellite_pipeline", pipeline="satellite", run_id=RUN)
    return folder


@pytest.fixture
def asks(monkeypatch):
    """Let the run ask something, nothing, or fail."""

    def asks(asked):
        def question_of(step, folder):
            assert (step.id, folder.path.name) == ("approve", RUN)
            if isinstance(asked, Exception):
                raise asked
            return asked

        monkeypatch.setattr(page, "question_of", question_of)

    return asks


def test_the_page_shows_the_current_question_and_its_code(client, run, asks):
    question = Question("Promote <b>these</b>?\n\n+USE_AI_MODELS=true", text_evidence("now"))
    asks(question)
    answer = client("admin").get(PAGE)
    assert answer.status_code == 200
    assert re.findall(r'class="evidence">(\w+)<', answer.text) == [question.code]
    assert "Promote &lt;b&gt;these&lt;/b&gt;?" in answer.text
    assert "+USE_AI_MODELS=true" in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (None, "There is nothing to approve"),
        (ContractError("comparison.json", "must state <what follows>", "/data/secret"), "A step before the approval"),
    ],
)
def test_a_run_that_asks_nothing_says_why_without_details_of_the_machine(client, run, asks, asked, text):
    asks(asked)
    answer = client("admin").get(PAGE)
    assert answer.status_code == 200
    assert text in answer.text
    assert "secret" not in answer.text
    assert "evidence" not in re.findall(r'class="(\w+)"', answer.text)


def test_a_run_without_a_folder_and_a_pipeline_that_asks_nothing_have_no_question(client, energy_run):
    assert client("admin").get(PAGE).status_code == 404
    assert (
        client("admin").get(f"/groundtruth/dags/energy_pipeline/runs/{energy_run.path.name}/approval").status_code
        == 404
    )


@pytest.mark.parametrize("user", [None, "nobody", "energy", "no_runs", "models"])
def test_users_who_may_not_see_required_actions_do_not_see_the_page(client, run, asks, user):
    asks(Question("Promote?", text_evidence("now")))
    answer = client(user).get(PAGE)
    assert answer.status_code in (401, 403)
    assert "Promote?" not in answer.text


def test_the_steps_that_ask_are_those_of_the_dags_pipeline():
    assert [step.id for step in approval_steps("satellite_pipeline")] == ["approve"]
    assert approval_steps("energy_pipeline") == approval_steps("unknown") == []
    assert page.question_of is approvals.question_of
