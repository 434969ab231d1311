import pytest

from pipeops.sim.router import RequestInfo, request_info
from tests.unit.sim.conftest import request


def info(method: str, target: str) -> RequestInfo:
    return request_info(request(method, target))


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "", "", "pods", "", "")),
        ("GET", "/api/v1/namespaces/n/pods/p", ("get", "", "n", "pods", "p", "")),
        ("GET", "/api/v1/namespaces/n/pods?watch=1", ("watch", "", "n", "pods", "", "")),
        ("GET", "/api/v1/watch/namespaces/n/pods", ("watch", "", "n", "pods", "", "")),
        ("POST", "/apis/apps/v1/namespaces/n/deployments", ("create", "apps", "n", "deployments", "", "")),
        ("DELETE", "/api/v1/namespaces/n/pods", ("deletecollection", "", "n", "pods", "", "")),
        ("DELETE", "/api/v1/namespaces/n", ("delete", "", "n", "namespaces", "n", "")),
        ("PUT", "/api/v1/namespaces/n/finalize", ("update", "", "n", "namespaces", "n", "finalize")),
        ("PATCH", "/apis/apps/v1/namespaces/n/deployments/d/scale", ("patch", "apps", "n", "deployments", "d", "scale")),
        ("HEAD", "/api/v1/nodes/x", ("get", "", "", "nodes", "x", "")),
    ],
)  # fmt: skip
def test_paths_become_attributes(method: str, target: str, expected: tuple[str, ...]) -> None:
    found = info(method, target)
    assert found.is_resource
    shown = (found.verb, found.group, found.namespace, found.plural, found.name, found.subresource)
    assert shown == expected


def test_other_paths_are_plain() -> None:
    found = info("GET", "/version")
    assert (found.is_resource, found.verb, found.path) == (False, "get", "/version")


def test_a_list_of_one_name_is_authorized_as_that_name() -> None:
    assert info("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dp").name == "p"
    assert info("GET", "/api/v1/pods?fieldSelector=metadata.name!%3Dp").name == ""


def test_subresources_are_named_as_rules_name_them() -> None:
    assert info("GET", "/api/v1/namespaces/n/pods/p/log").resource_and_subresource == "pods/log"
    assert info("GET", "/api/v1/pods").resource_and_subresource == "pods"
