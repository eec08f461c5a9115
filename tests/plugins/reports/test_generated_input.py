"""Generated input, good and bad, against the schema that the pages keep to themselves: no answer is a 500."""

import pytest
import schemathesis
from fastapi.openapi.utils import get_openapi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]
EXAMPLES = 40


@pytest.fixture
def schema(airflow_app):
    """The schema of the mounted app, as FastAPI would publish it."""
    (mount,) = [route for route in airflow_app.routes if getattr(route, "path", "") == "/groundtruth"]
    document = get_openapi(title="pages", version="1", routes=mount.app.routes)
    return schemathesis.openapi.from_dict(document)


@pytest.mark.parametrize("user", ["admin", "energy"])
def test_no_input_breaks_a_page(client, schema, energy_run, switched, user):
    browser = client(user)
    statuses = set()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def check(operation, data):
        case = data.draw(operation.as_strategy(generation_mode=data.draw(st.sampled_from(list(GenerationMode)))))
        sent = case.as_transport_kwargs(base_url="http://localhost/groundtruth")
        sent.pop("cookies")  # the browser has its own
        answer = browser.request(**sent)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, case.as_curl_command()

    for operation in schema.get_all_operations():
        check(operation.ok())
    assert statuses >= ({200, 404, 422} if user == "admin" else {200, 403})
