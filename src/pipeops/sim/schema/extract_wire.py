"""Regenerates wire.txt, the Protobuf field numbers, from the Go modules of the Kubernetes API.

`python -m pipeops.sim.schema.extract_wire GO_MODULE_CACHE/k8s.io RELEASE` (a release like v0.36.3)
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

API_PACKAGES = (
    "admissionregistration/v1",
    "apps/v1",
    "authentication/v1",
    "authorization/v1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "certificates/v1",
    "coordination/v1",
    "core/v1",
    "discovery/v1",
    "networking/v1",
    "node/v1",
    "policy/v1",
    "rbac/v1",
    "scheduling/v1",
    "storage/v1",
)
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(
    r"^\t(?P<name>\w*\s+)?(?P<type>[^\s`]+)\s+`json:\"(?P<json>[^\"]*)\"[^`]*?"
    r"protobuf:\"\w+,(?P<number>\d+),",
    re.MULTILINE,
)


def struct_line(package: str, name: str, body: str) -> str:
    """One struct: `field=number`, `field*=number` for pointers, `+struct=number` for embedded ones."""
    words = [f"{package}.{name}"]
    for found in FIELD.finditer(body):
        json_name, _, options = found["json"].partition(",")
        pointer = "*" if found["type"].startswith("*") else ""
        if "inline" in options and not json_name:
            embedded = found["type"].lstrip("*")
            owner, _, short = embedded.rpartition(".")
            prefix = "meta.v1" if owner == "metav1" else (owner or package)
            if owner == "v1":
                prefix = "core.v1"
            words.append(f"+{prefix}.{short}={found['number']}")
        else:
            words.append(f"{json_name}{pointer}={found['number']}")
    return " ".join(words)


def lines(modules: Path, release: str) -> Iterator[str]:
    """Every struct with numbered fields."""
    sources = [
        (package.replace("/", "."), modules / f"api@{release}" / package / "types.go")
        for package in API_PACKAGES
    ]
    meta = modules / f"apimachinery@{release}/pkg/apis/meta/v1/types.go"
    for package, path in [*sources, ("meta.v1", meta)]:
        for found in STRUCT.finditer(path.read_text()):
            line = struct_line(package, found[1], found[2])
            if " " in line and not found[1].endswith("List"):
                yield line


def main() -> None:
    """Writes wire.txt beside this module."""
    note = "# Protobuf field numbers of Kubernetes v1.36; written by extract_wire.py.\n"
    found = sorted(lines(Path(sys.argv[1]), sys.argv[2]))
    (Path(__file__).parent / "wire.txt").write_text(note + "\n".join(found) + "\n")


if __name__ == "__main__":
    main()
