import pytest

from pipeops.agent.cluster.distribution import distribution_of, origin_of


@pytest.mark.parametrize(
    ("provider_id", "labels", "version", "image", "expected"),
    [
        ("k3s://node", {}, "v1.31.4+k3s1", "", ("k3s", "")),
        ("aws:///eu-west-1a/i-1", {}, "v1.33.1-eks-1a2b3c", "", ("eks", "aws")),
        ("gce://p/z/n", {}, "v1.33.1-gke.100", "", ("gke", "gcp")),
        ("azure:///x", {"kubernetes.azure.com/cluster": "c"}, "v1.33.1", "", ("aks", "azure")),
        ("kind://docker/kind/n", {}, "v1.33.1", "", ("kind", "kind")),
        ("hcloud://42", {}, "v1.33.1", "Talos (v1.9)", ("talos", "hetzner")),
        ("", {"microk8s.io/cluster": "true"}, "v1.33.1", "", ("microk8s", "")),
        ("", {}, "v1.33.1", "Debian GNU/Linux 12", ("kubernetes", "")),
        ("nonsense", {}, "", "", ("kubernetes", "")),
    ],
)
def test_nodes_tell_what_they_are(provider_id, labels, version, image, expected) -> None:
    assert origin_of(provider_id, labels, version, image) == expected


def test_a_version_alone_may_tell() -> None:
    assert distribution_of("v1.31.4+rke2r1") == "rke2"
    assert distribution_of("v1.31.4") == ""
