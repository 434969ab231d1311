import pytest

from pipeops.sim import errors
from pipeops.sim.errors import ApiError


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (errors.not_found("apps", "deployments", "d"), 404, 'deployments.apps "d" not found'),
        (errors.no_such_resource(), 404, "could not find the requested resource"),
        (errors.already_exists("", "pods", "p"), 409, 'pods "p" already exists'),
        (errors.stale("", "pods", "p"), 409, "the object has been modified"),
        (errors.bad_request("no"), 400, "no"),
        (errors.unauthorized(), 401, "Unauthorized"),
        (errors.forbidden("", "pods", "", "why"), 403, "pods is forbidden: why"),
        (errors.expired("old"), 410, "old"),
        (errors.too_large_version(9, 5), 504, "Too large resource version: 9, current: 5"),
        (errors.method_not_allowed("PUT"), 405, "does not allow this method"),
        (errors.not_acceptable("a, b"), 406, "Available representations: a, b"),
        (errors.unsupported_media_type("a"), 415, "accepted media types include: a"),
        (errors.unsupported_patch(), 415, "415: Unsupported Media Type"),
        (errors.too_large(5), 413, "limit is 5"),
        (errors.internal("x"), 500, "Internal error occurred: x"),
    ],
)
def test_every_refusal_is_a_status(error: ApiError, code: int, text: str) -> None:
    assert error.code == error.status["code"] == code
    assert text in error.status["message"]
    assert (error.status["kind"], error.status["status"]) == ("Status", "Failure")


def test_one_cause_stands_alone_and_more_in_brackets() -> None:
    one = errors.invalid("apps", "Deployment", "d", [("R", "f", "m")])
    assert str(one) == 'Deployment.apps "d" is invalid: f: m'
    two = errors.invalid("", "Pod", "p", [("R", "f", "m"), ("R", "g", "n")])
    assert str(two) == 'Pod "p" is invalid: [f: m, g: n]'
    assert two.status["details"]["causes"][1] == {"reason": "R", "message": "n", "field": "g"}


def test_details_leave_out_what_is_empty() -> None:
    assert errors.details_of("", "", "pods") == {"kind": "pods"}
    assert errors.qualified("pods", "") == "pods"


def test_a_conflict_names_the_object() -> None:
    error = errors.conflict("apps", "deployments", "d", "why")
    assert str(error) == 'Operation cannot be fulfilled on deployments.apps "d": why'
