import pytest

from pipeops.sim.validation.pods import is_port, spec_causes, update_causes

GOOD = {
    "containers": [{"name": "a", "image": "x"}],
    "restartPolicy": "Always",
    "dnsPolicy": "Default",
}


def fields(**change: object) -> list[str]:
    return [cause.field for cause in spec_causes({**GOOD, **change}, "spec")]


def test_a_good_pod_passes() -> None:
    assert fields() == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"containers": []}, "spec.containers"),
        ({"containers": [{"image": "x"}]}, "spec.containers[0].name"),
        ({"containers": [{"name": "a"}]}, "spec.containers[0].image"),
        ({"containers": [{"name": "UP", "image": "x"}]}, "spec.containers[0].name"),
        (
            {"containers": [{"name": "a", "image": "x", "imagePullPolicy": "Odd"}]},
            "spec.containers[0].imagePullPolicy",
        ),
        (
            {
                "containers": [
                    {
                        "name": "a",
                        "image": "x",
                        "ports": [{"containerPort": 70000, "protocol": "TCP"}],
                    }
                ]
            },
            "spec.containers[0].ports[0].containerPort",
        ),
        (
            {
                "containers": [
                    {
                        "name": "a",
                        "image": "x",
                        "volumeMounts": [{"name": "none", "mountPath": "/"}],
                    }
                ]
            },
            "spec.containers[0].volumeMounts[0].name",
        ),
        ({"containers": [*GOOD["containers"], *GOOD["containers"]]}, "spec.containers[1].name"),
        ({"restartPolicy": "Odd"}, "spec.restartPolicy"),
        ({"dnsPolicy": "Odd"}, "spec.dnsPolicy"),
        ({"volumes": [{}]}, "spec.volumes[0].name"),
    ],
)
def test_mistakes_are_found_where_they_are(change: dict, field: str) -> None:
    assert fields(**change) == [field]


def test_only_images_and_little_else_may_change() -> None:
    old = {"spec": GOOD}
    image = {"spec": {**GOOD, "containers": [{"name": "a", "image": "y"}]}}
    assert list(update_causes(old, image)) == []
    moved = {"spec": {**GOOD, "nodeName": "other"}}
    (cause,) = update_causes(old, moved)
    assert cause.message.startswith("Forbidden: pod updates may not change fields")


def test_ports_are_numbers_of_sixteen_bits() -> None:
    assert is_port(1)
    assert not is_port(0)
    assert not is_port(65536)
    assert not is_port("80")
