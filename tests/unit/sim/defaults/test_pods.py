import pytest

from pipeops.sim.defaults.pods import fill, image_pull_policy, pod, pod_spec


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("nginx@sha256:abc", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert image_pull_policy(image) == policy


def test_a_pod_is_completed() -> None:
    obj = {"spec": {"containers": [{"name": "a", "image": "x:1", "ports": [{"containerPort": 1}]}]}}
    pod(obj)
    spec = obj["spec"]
    assert (spec["restartPolicy"], spec["dnsPolicy"]) == ("Always", "ClusterFirst")
    (container,) = spec["containers"]
    assert container["ports"] == [{"containerPort": 1, "protocol": "TCP"}]
    assert container["terminationMessagePolicy"] == "File"


def test_requests_follow_limits() -> None:
    spec = {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}]}
    pod_spec(spec)
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": "1"}


def test_probes_and_volumes_are_completed() -> None:
    spec = {
        "containers": [{"name": "a", "livenessProbe": {"httpGet": {"port": 80}}}],
        "volumes": [{"name": "v"}, {"name": "c", "configMap": {"name": "x"}}],
    }
    pod_spec(spec)
    assert spec["containers"][0]["livenessProbe"]["httpGet"] == {
        "port": 80,
        "path": "/",
        "scheme": "HTTP",
    }
    assert spec["volumes"][0]["emptyDir"] == {}
    assert spec["volumes"][1]["configMap"]["defaultMode"] == 420


def test_what_is_given_stays() -> None:
    target = {"a": 1, "b": None}
    fill(target, a=2, b=3, c=4)
    assert target == {"a": 1, "b": 3, "c": 4}
