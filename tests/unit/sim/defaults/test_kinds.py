import pytest

from pipeops.sim.defaults.kinds import set_defaults
from tests.unit.sim.conftest import World


def completed(world: World, version: str, kind: str, **body: object) -> dict:
    obj = {"metadata": {"name": "x"}, **body}
    set_defaults(world.resource(version, kind), obj)
    return obj


def test_services_point_to_their_own_port(world: World) -> None:
    found = completed(world, "v1", "Service", spec={"ports": [{"port": 80}]})
    assert found["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert found["spec"]["internalTrafficPolicy"] == "Cluster"


def test_secrets_are_encoded_and_opaque(world: World) -> None:
    found = completed(world, "v1", "Secret", stringData={"a": "b"})
    assert (found["data"], found["type"]) == ({"a": "Yg=="}, "Opaque")
    assert "stringData" not in found


def test_namespaces_carry_their_name_as_a_label(world: World) -> None:
    found = completed(world, "v1", "Namespace")
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}


def test_bindings_name_their_api_group(world: World) -> None:
    found = completed(
        world,
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        roleRef={"kind": "Role", "name": "r"},
        subjects=[{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}],
    )
    assert found["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert ["apiGroup" in subject for subject in found["subjects"]] == [True, False]


def test_definitions_get_their_names(world: World) -> None:
    spec = {"names": {"kind": "Box", "plural": "boxes"}}
    version = "apiextensions.k8s.io/v1"
    found = completed(world, version, "CustomResourceDefinition", spec=spec)
    assert found["spec"]["names"]["singular"] == "box"
    assert found["spec"]["names"]["listKind"] == "BoxList"


@pytest.mark.parametrize(
    ("version", "kind", "path", "expected"),
    [
        ("v1", "PersistentVolumeClaim", "volumeMode", "Filesystem"),
        ("v1", "PersistentVolume", "persistentVolumeReclaimPolicy", "Retain"),
        ("networking.k8s.io/v1", "NetworkPolicy", "policyTypes", ["Ingress"]),
        ("autoscaling/v2", "HorizontalPodAutoscaler", "minReplicas", 1),
    ],
)
def test_small_kinds_are_completed(
    world: World, version: str, kind: str, path: str, expected: object
) -> None:
    assert completed(world, version, kind)["spec"][path] == expected


def test_kinds_without_defaults_stay_as_they_are(world: World) -> None:
    assert completed(world, "v1", "ConfigMap") == {"metadata": {"name": "x"}}
