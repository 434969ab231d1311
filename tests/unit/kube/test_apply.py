import random
from typing import Any

import pytest

from pipeops.kube.apply import SET_LABEL, Applier, Kind
from pipeops.kube.errors import Conflict, KubeAnswerError
from tests.support.kubescript import Script, page, status

CORE = {
    "resources": [
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True},
        {"name": "configmaps/status", "kind": "ConfigMap", "namespaced": True},
        {"name": "namespaces", "kind": "Namespace", "namespaced": False},
    ]
}


def applied(uid: str) -> dict[str, Any]:
    return {"metadata": {"name": uid, "uid": uid}}


def body(name: str, kind: str = "ConfigMap", **meta: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **meta}}


def applier(script: Script, **options: Any) -> Applier:
    return Applier(script, rng=random.Random(1), **options)  # type: ignore[arg-type]


async def test_an_object_is_patched_under_its_resource_by_our_manager() -> None:
    script = Script(CORE, applied("a"), applied("b"), applied("n"))
    made = applier(script)
    await made.apply(body("a"), namespace="team")
    await made.apply(body("b", namespace="own"), namespace="team")
    await made.apply(body("n", "Namespace"), namespace="team")
    query = "?fieldManager=pipeops-agent&force=false"
    assert [path for method, path, _ in script.asked if method == "PATCH"] == [
        f"/api/v1/namespaces/team/configmaps/a{query}",
        f"/api/v1/namespaces/own/configmaps/b{query}",
        f"/api/v1/namespaces/n{query}",
    ]


async def test_a_set_is_labelled_and_the_rest_of_it_is_deleted_by_uid() -> None:
    script = Script(CORE, applied("a"), page("ab"), None)
    source = body("a")
    assert await applier(script).apply_set("demo", [source], namespace="team") == 1
    (_, _, sent), (_, listed, _), (_, path, options) = script.asked[1:]
    assert sent["metadata"]["labels"] == {SET_LABEL: "demo"}
    assert "labels" not in source["metadata"]
    assert "labelSelector=agent.pipeops.io%2Fset%3Ddemo" in listed
    assert path == "/api/v1/namespaces/team/configmaps/b"
    assert options["preconditions"] == {"uid": "b"}


async def test_nothing_is_deleted_when_something_could_not_be_applied() -> None:
    script = Script(CORE, applied("a"), status(409, "owned by helm"))
    with pytest.raises(Conflict, match="helm"):
        await applier(script).apply_set("demo", [body("a"), body("b")])
    assert not [path for method, path, _ in script.asked if method == "DELETE"]


async def test_what_is_gone_already_or_made_anew_counts_as_nothing() -> None:
    script = Script(CORE, page("xy"), status(404), status(409))
    assert await applier(script).apply_set("demo", [], kinds=[Kind("v1", "ConfigMap")]) == 0


async def test_a_kind_that_is_not_served_is_an_error_to_apply_and_nothing_to_prune() -> None:
    with pytest.raises(KubeAnswerError, match="no Thing of v1"):
        await applier(Script(CORE)).apply(body("a", "Thing"))
    script = Script(status(404))
    assert await applier(script).apply_set("demo", [], kinds=[Kind("x.io/v1", "Thing")]) == 0
    assert script.asked[0][1] == "/apis/x.io/v1"
