"""Errors in the forms of the service's two APIs."""

import pytest
from pydantic import BaseModel, ValidationError

from include.standins.sentinel_hub.errors import (
    ApiError,
    bad_payload,
    first_problem,
    forbidden,
    rate_limited,
    unauthorized,
)


def test_an_error_is_worded_for_process_and_for_catalog():
    error = ApiError(404, "Nothing here", "NOT_FOUND")
    assert error.body() == {
        "error": {"status": 404, "reason": "Not Found", "message": "Nothing here", "code": "NOT_FOUND"}
    }
    assert error.catalog_body() == {"code": 404, "description": "Nothing here"}


def test_a_bad_payload_names_its_parameter():
    assert (bad_payload("Empty.").message, bad_payload("Empty.").errors) == ("Empty.", [])
    error = bad_payload("Too large.", "output->width").body()["error"]
    assert error["message"] == "Too large.\n"
    assert error["errors"] == [{"parameter": "output->width", "violation": "Too large."}]


def test_access_errors_have_the_services_codes():
    assert (unauthorized().status, unauthorized().code) == (401, "COMMON_UNAUTHORIZED")
    assert (forbidden().status, forbidden().code) == (403, "COMMON_INSUFFICIENT_PERMISSIONS")


def test_a_rate_limit_states_the_wait():
    error = rate_limited(1500, '{"limit": 1}')
    assert (error.status, error.code) == (429, "RATE_LIMIT_EXCEEDED")
    assert error.headers == {
        "Retry-After": "1500",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-ViolatedPolicy": '{"limit": 1}',
    }


def test_the_first_problem_has_a_path_and_words():
    class Model(BaseModel):
        count: int
        sizes: list[int]

    with pytest.raises(ValidationError) as missing:
        Model.model_validate({"sizes": []})
    assert first_problem(missing.value) == (["count"], "is missing")
    with pytest.raises(ValidationError) as wrong:
        Model.model_validate({"count": 1, "sizes": [1, "x"]})
    path, problem = first_problem(wrong.value)
    assert path == ["sizes", "1"]
    assert problem.startswith("is not valid: Input should be a valid integer")
