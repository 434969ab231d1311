"""Which kinds of Gateway API there are: asked, in the server's own order."""

from typing import Any

import pytest

from pipeops.agent.ingress.discovery import served
from pipeops.kube.errors import KubeError, status_error
from tests.unit.agent.ingress.cluster import GROUP, Cluster


async def test_every_kind_in_the_version_that_the_server_prefers() -> None:
    cluster = Cluster()
    name = GROUP.removeprefix("/apis/")
    cluster.answers |= {
        GROUP: {
            "versions": [{"groupVersion": f"{name}/v1beta1"}, {"groupVersion": f"{name}/v1"}],
            "preferredVersion": {"groupVersion": f"{name}/v1"},
        },
        f"{GROUP}/v1": {"resources": [{"name": "httproutes"}, {"name": "httproutes/status"}]},
        f"{GROUP}/v1beta1": {
            "resources": [{"name": "gateways"}, {"name": "httproutes"}, {"name": "tcproutes"}]
        },
    }
    assert await served(cluster) == {  # type: ignore[arg-type]
        "httproutes": f"{GROUP}/v1/httproutes",
        "gateways": f"{GROUP}/v1beta1/gateways",
    }


@pytest.mark.parametrize(
    "answer",
    [
        status_error(404, "NotFound", "no"),
        {},
        {"versions": [{"groupVersion": "other/v1"}, {"groupVersion": f"{GROUP[6:]}/v9"}]},
    ],
)
async def test_a_cluster_without_it(answer: Any) -> None:
    cluster = Cluster()
    cluster.answers[GROUP] = answer
    assert await served(cluster) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [403, 503])
async def test_a_server_that_does_not_tell_is_no_answer(status: int) -> None:
    cluster = Cluster()
    cluster.answers[GROUP] = status_error(status, "Reason", "later")
    with pytest.raises(KubeError):
        await served(cluster)  # type: ignore[arg-type]
