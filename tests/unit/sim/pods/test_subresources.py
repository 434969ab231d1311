"""What the API server says about requests for pods' insides."""

import pytest

from pipeops.sim.access.users import User
from pipeops.sim.cluster import ADMIN, SimulatedCluster
from pipeops.sim.errors import ApiError
from pipeops.sim.http import Request, Streaming, Upgrade
from pipeops.sim.pods.subresources import PodSubresources
from pipeops.sim.router import request_info

WEBSOCKET = [
    ("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
    ("sec-websocket-key", "a2V5"), ("sec-websocket-protocol", "v5.channel.k8s.io"),
]  # fmt: skip


def request(what: str, *, method: str = "GET", headers=(), **query) -> Request:
    path = f"/api/v1/namespaces/default/pods/{what}"

    async def body(limit: int) -> bytes:
        return b""

    values = {name: value if isinstance(value, list) else [value] for name, value in query.items()}
    return Request(method, path, path, values, list(headers), {}, body)


@pytest.fixture
def pods() -> PodSubresources:
    cluster = SimulatedCluster()
    for name, containers, more, status in [
        ("one", ["main"], {}, {"phase": "Running"}),
        ("two", ["a", "b"], {"initContainers": [{"name": "i", "image": "x"}]}, {"phase": "Running"}),
        ("done", ["main"], {}, {"phase": "Succeeded"}),
        ("early", ["main"], {}, {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": {}}}]}),
        ("homeless", ["main"], {"nodeName": ""}, {"phase": "Pending"}),
    ]:  # fmt: skip
        spec = {
            "nodeName": "n",
            "containers": [{"name": each, "image": "x"} for each in containers],
            **more,
        }
        head = {"name": name, "namespace": "default"}
        cluster.install(
            {"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec, "status": status}
        )
    return PodSubresources(cluster)


def ask(pods: PodSubresources, asked: Request, user: User = ADMIN):
    info = request_info(asked)
    assert pods.serves(info)
    return pods.answer(asked, info, user)


@pytest.mark.parametrize(
    ("what", "query", "code", "message"),
    [
        ("none/log", {}, 404, 'pods "none" not found'),
        ("one/log", {"container": "x"}, 400, "container x is not valid for pod one"),
        ("two/log", {}, 400, ("a container name must be specified for pod two, choose one of: [a b] "
                             "or one of the init containers: [i]")),
        ("one/log", {"previous": "true"}, 400, 'previous terminated container "main" in pod "one" not found'),
        ("early/log", {}, 400, 'container "main" in pod "early" is waiting to start: ContainerCreating'),
        ("one/log", {"tailLines": "-1"}, 422, ('PodLogOptions "" is invalid: tailLines: Invalid value: -1: '
                                              "must be greater than or equal to 0")),
        ("one/log", {"limitBytes": "0"}, 422, ('PodLogOptions "" is invalid: limitBytes: Invalid value: 0: '
                                              "must be greater than 0")),
        ("one/log", {"tailLines": "x"}, 400, None), ("one/log", {"sinceTime": "x"}, 400, None),
        ("done/exec", {"stdout": "1", "command": "a"}, 400,
         "cannot exec into a container in a completed pod; current phase is Succeeded"),
        ("one/exec", {"command": "a"}, 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("one/exec", {"stdout": "1"}, 400, "you must specify at least one command for the container"),
        ("one/exec", {"stdout": "1", "command": "a"}, 400, "Upgrade request required"),
        ("one/attach", {"stdout": "1"}, 400, "Upgrade request required"),
        ("homeless/attach", {"stdout": "1"}, 400, "pod homeless does not have a host assigned"),
        ("one/portforward", {}, 400, "Upgrade request required"),
        ("early/portforward", {}, 400, "unable to forward port because pod is not running. Current status=Pending"),
    ],
)  # fmt: skip
def test_refusals_are_the_api_servers(
    pods, what: str, query: dict, code: int, message: str | None
) -> None:
    with pytest.raises(ApiError) as caught:
        ask(pods, request(what, **query))
    assert caught.value.code == code
    if message is not None:
        assert str(caught.value) == message


async def test_logs_stream_as_text(pods) -> None:
    answer = ask(pods, request("one/log", tailLines="2"))
    assert isinstance(answer, Streaming)
    assert answer.content_type == "text/plain"
    assert len(b"".join([chunk async for chunk in answer.chunks]).splitlines()) == 2
    empty = ask(pods, request("homeless/log"))
    assert b"".join([chunk async for chunk in empty.chunks]) == b""


@pytest.mark.parametrize("what", ["one/exec", "one/attach"])
def test_a_websocket_is_upgraded(pods, what: str) -> None:
    answer = ask(pods, request(what, headers=WEBSOCKET, stdout="true", command=["sh"]))
    assert isinstance(answer, Upgrade)


def test_a_websocket_needs_the_right_to_create(pods) -> None:
    with pytest.raises(ApiError) as caught:
        ask(pods, request("one/exec", headers=WEBSOCKET, stdout="1", command=["sh"]), User("x", ()))
    assert caught.value.code == 403


def test_other_methods_are_not_allowed(pods) -> None:
    with pytest.raises(ApiError) as caught:
        ask(pods, request("one/log", method="POST"))
    assert caught.value.code == 405
