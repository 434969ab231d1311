import pytest

from pipeops.sim.schema.decode import WrongTypeError, decode
from pipeops.sim.schema.model import definitions

DEPLOYMENT = definitions()["apps.v1.Deployment"]


def test_unknown_fields_are_dropped_and_named_by_path() -> None:
    container = {"name": "a", "imagee": "x"}
    body = {"spec": {"template": {"spec": {"containers": [container]}}, "colour": 1}}
    found = decode(body, DEPLOYMENT)
    assert set(found.unknown) == {"spec.template.spec.containers[0].imagee", "spec.colour"}
    assert "imagee" not in found.value["spec"]["template"]["spec"]["containers"][0]


def test_defaults_of_the_schema_are_filled_in_unless_not_wanted() -> None:
    port = {"containerPort": 80}
    body = {"spec": {"template": {"spec": {"containers": [{"name": "a", "ports": [port]}]}}}}

    def ports(defaults: bool) -> list:
        found = decode(body, DEPLOYMENT, defaults=defaults).value
        return found["spec"]["template"]["spec"]["containers"][0]["ports"]

    assert ports(True) == [{"containerPort": 80, "protocol": "TCP"}]
    assert ports(False) == [port]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"replicas": "two"}, "string into Go struct field DeploymentSpec.spec.replicas of type"),
        ({"paused": 1}, "number into Go struct field DeploymentSpec.spec.paused of type bool"),
        ({"template": []}, "array into Go struct field"),
        ({"selector": {"matchLabels": "x"}}, "of type map"),
    ],
)
def test_wrong_types_are_refused_in_the_decoders_words(spec: dict, text: str) -> None:
    with pytest.raises(WrongTypeError, match="json: cannot unmarshal") as caught:
        decode({"spec": spec}, DEPLOYMENT)
    assert text in str(caught.value)


def test_wrong_types_are_kept_for_a_validator() -> None:
    found = decode({"spec": {"replicas": "two"}}, DEPLOYMENT, types=False)
    assert found.value["spec"]["replicas"] == "two"


def test_nulls_and_empty_maps_go_but_empty_structs_stay() -> None:
    pod = definitions()["core.v1.Pod"]
    volume = {"name": "v", "emptyDir": {}}
    body = {"metadata": {"labels": {}}, "spec": {"nodeName": None, "volumes": [volume]}}
    found = decode(body, pod).value
    assert found["metadata"] == {}
    assert "nodeName" not in found["spec"]
    assert found["spec"]["volumes"] == [volume]


def test_whole_floats_are_integers_and_quantities_are_text() -> None:
    body = {"spec": {"replicas": 2.0}}
    assert decode(body, DEPLOYMENT).value["spec"]["replicas"] == 2
    pod = definitions()["core.v1.Pod"]
    limits = {"limits": {"cpu": 1}}
    body = {"spec": {"containers": [{"name": "a", "resources": limits}]}}
    found = decode(body, pod).value["spec"]["containers"][0]
    assert found["resources"]["limits"] == {"cpu": "1"}
