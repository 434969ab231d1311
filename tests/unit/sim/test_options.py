import pytest

from pipeops.sim.errors import ApiError
from pipeops.sim.options import check_list_options, delete_options, manager_of, write_options
from tests.unit.sim.conftest import request


def test_the_manager_is_the_programs_name_unless_given() -> None:
    agent = {"user-agent": "kubectl-create/v1 (linux)"}
    assert manager_of(request("POST", "/x", headers=agent)) == "kubectl-create"
    assert manager_of(request("POST", "/x?fieldManager=me", headers=agent)) == "me"


def test_write_options_are_read() -> None:
    found = write_options(
        request("PATCH", "/x?dryRun=All&fieldValidation=Strict&force=true&fieldManager=m"),
        "PatchOptions",
    )
    assert (found.dry_run, found.validation, found.force, found.named) == (
        True,
        "Strict",
        True,
        True,
    )
    plain = write_options(request("POST", "/x"), "CreateOptions")
    assert (plain.dry_run, plain.validation, plain.force) == (False, "Warn", None)


@pytest.mark.parametrize(
    "query", ["dryRun=Some", "fieldValidation=Maybe", "fieldManager=" + "m" * 200]
)
def test_wrong_write_options_are_invalid(query: str) -> None:
    with pytest.raises(ApiError) as caught:
        write_options(request("POST", f"/x?{query}"), "CreateOptions")
    assert caught.value.code == 422


async def test_delete_options_come_from_body_or_query() -> None:
    body = {"gracePeriodSeconds": 3, "propagationPolicy": "Orphan", "preconditions": {"uid": "u"}}
    found = await delete_options(request("DELETE", "/x", body))
    assert (found.grace, found.propagation, found.uid) == (3, "Orphan", "u")
    found = await delete_options(request("DELETE", "/x?gracePeriodSeconds=0&dryRun=All"))
    assert (found.grace, found.dry_run, found.propagation) == (0, True, "Background")
    found = await delete_options(request("DELETE", "/x", {"orphanDependents": True}))
    assert found.propagation == "Orphan"


async def test_an_unknown_propagation_is_invalid() -> None:
    with pytest.raises(ApiError, match="Unsupported value"):
        await delete_options(request("DELETE", "/x", {"propagationPolicy": "Sideways"}))


@pytest.mark.parametrize(
    ("query", "watch"),
    [
        ("resourceVersionMatch=Exact", False),
        ("resourceVersionMatch=Exact&resourceVersion=0", False),
        ("resourceVersionMatch=Odd&resourceVersion=5", False),
        ("resourceVersionMatch=Exact&resourceVersion=5&continue=x", False),
        ("resourceVersionMatch=NotOlderThan&resourceVersion=5", True),
        ("sendInitialEvents=true", True),
        ("sendInitialEvents=true", False),
    ],
)
def test_list_options_that_make_no_sense_are_invalid(query: str, watch: bool) -> None:
    with pytest.raises(ApiError) as caught:
        check_list_options(request("GET", f"/x?{query}"), watch=watch)
    assert caught.value.code == 422


def test_sensible_list_options_pass() -> None:
    check_list_options(request("GET", "/x"), watch=False)
    asked = request("GET", "/x?sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
    check_list_options(asked, watch=True)
