"""Finds the Kubernetes programs that tests run: given by the environment, or built by `tests/cluster`."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.support import gobuild


@dataclass(frozen=True)
class Programs:
    """Paths of the Kubernetes programs; without a controller manager nothing rolls out."""

    etcd: Path
    apiserver: Path
    kubectl: Path
    controller_manager: Path | None = None
    scheduler: Path | None = None


def find_programs() -> tuple[Programs | None, str]:
    """The programs given by `TEST_ASSET_*` or `KUBEBUILDER_ASSETS`, else built with Go; or None and why."""
    given = _given_programs()
    if given is not None:
        return given, ""
    built = gobuild.cluster()
    if built.path is None:
        return None, f"{built.reason}; or set KUBEBUILDER_ASSETS"
    at = built.path.parent
    return Programs(
        at / "etcd",
        at / "kube-apiserver",
        at / "kubectl",
        at / "kube-controller-manager",
        at / "kube-scheduler",
    ), ""


def _given_programs() -> Programs | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    found: dict[str, Path] = {}
    for name in gobuild.KUBERNETES_PROGRAMS:
        variable = "TEST_ASSET_" + name.upper().replace("-", "_")
        path = Path(os.environ.get(variable) or (f"{folder}/{name}" if folder else ""))
        if path.is_file():
            found[name] = path
    if "kubectl" not in found and (kubectl := shutil.which("kubectl")):
        found["kubectl"] = Path(kubectl)
    if not {"etcd", "kube-apiserver", "kubectl"} <= found.keys():
        return None
    return Programs(
        found["etcd"],
        found["kube-apiserver"],
        found["kubectl"],
        found.get("kube-controller-manager"),
        found.get("kube-scheduler"),
    )
