"""Which Kubernetes this is and whose machines it runs on, from what nodes say of themselves."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Origin(NamedTuple):
    """Empty strings for what a node does not tell.

    Attributes:
        distribution: like `k3s`, `eks`; `kubernetes` where nothing special shows.
        provider: like `aws`, `hetzner`, from the node's provider id.
    """

    distribution: str
    provider: str


_BY_VERSION: Final = (
    ("+k3s", "k3s"),
    ("+rke2", "rke2"),
    ("-eks-", "eks"),
    ("-gke.", "gke"),
    ("+k0s", "k0s"),
    ("+vmware", "tanzu"),
)
_BY_LABEL: Final = (
    ("microk8s.io/cluster", "microk8s"),
    ("minikube.k8s.io/name", "minikube"),
    ("node.openshift.io/os_id", "openshift"),
    ("eks.amazonaws.com/nodegroup", "eks"),
    ("cloud.google.com/gke-nodepool", "gke"),
    ("kubernetes.azure.com/cluster", "aks"),
    ("doks.digitalocean.com/node-pool", "doks"),
    ("lke.linode.com/pool-id", "lke"),
)
_BY_IMAGE: Final = (("talos", "talos"), ("docker desktop", "docker-desktop"))
#: Schemes of `spec.providerID` that are not the provider's usual name.
_PROVIDERS: Final = {
    "gce": "gcp",
    "hcloud": "hetzner",
    "k3s": "",
    "kind": "kind",
    "rke2": "",
    "openstack": "openstack",
}


def origin_of(
    provider_id: str, labels: Mapping[str, str], kubelet_version: str, os_image: str
) -> Origin:
    """Return the origin of one node."""
    scheme = provider_id.partition("://")[0].lower()[:32] if "://" in provider_id else ""
    return Origin(
        distribution_of(kubelet_version)
        or ("kind" if scheme == "kind" else "")
        or next((name for label, name in _BY_LABEL if label in labels), "")
        or next((name for word, name in _BY_IMAGE if word in os_image.lower()), "")
        or "kubernetes",
        _PROVIDERS.get(scheme, scheme),
    )


def distribution_of(version: str) -> str:
    """Return the distribution that a version string names (`v1.31.4+k3s1`), empty if none."""
    return next((name for mark, name in _BY_VERSION if mark in version), "")
