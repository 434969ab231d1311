"""Regenerates resources.txt and types.txt from a Kubernetes source tree (facts only, no prose).

`python -m pipeops.sim.schema.extract KUBERNETES_SOURCE_DIR`
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GROUP_VERSIONS = (
    ("", "v1"),
    ("admissionregistration.k8s.io", "v1"),
    ("apiextensions.k8s.io", "v1"),
    ("apiregistration.k8s.io", "v1"),
    ("apps", "v1"),
    ("authentication.k8s.io", "v1"),
    ("authorization.k8s.io", "v1"),
    ("autoscaling", "v1"),
    ("autoscaling", "v2"),
    ("batch", "v1"),
    ("certificates.k8s.io", "v1"),
    ("coordination.k8s.io", "v1"),
    ("discovery.k8s.io", "v1"),
    ("networking.k8s.io", "v1"),
    ("node.k8s.io", "v1"),
    ("policy", "v1"),
    ("rbac.authorization.k8s.io", "v1"),
    ("scheduling.k8s.io", "v1"),
    ("storage.k8s.io", "v1"),
)
PREFIXES = (
    ("io.k8s.api.", ""),
    ("io.k8s.apimachinery.pkg.apis.meta.", "meta."),
    ("io.k8s.apiextensions-apiserver.pkg.apis.", ""),
    ("io.k8s.kube-aggregator.pkg.apis.", ""),
    ("io.k8s.apimachinery.pkg.", "machinery."),
)
SCALARS = {
    ("string", None): "str",
    ("string", "byte"): "bytes",
    ("string", "date-time"): "time",
    ("integer", "int32"): "int32",
    ("integer", "int64"): "int64",
    ("integer", None): "int64",
    ("number", "double"): "num",
    ("number", None): "num",
    ("boolean", None): "bool",
    ("object", None): "object",
}


def short_name(definition: str) -> str:
    """The definition's name without the prefixes that all of them share."""
    for prefix, replacement in PREFIXES:
        if definition.startswith(prefix):
            return replacement + definition.removeprefix(prefix)
    return definition


def type_text(node: dict[str, Any], used: set[str]) -> str:
    """One property's type in the notation of types.txt."""
    if "allOf" in node:
        return type_text(node["allOf"][0], used)
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        used.add(name)
        return short_name(name)
    if node.get("type") == "array":
        return "[]" + type_text(node["items"], used)
    if node.get("type") == "object" and "additionalProperties" in node:
        return "{}" + type_text(node["additionalProperties"], used)
    return SCALARS[node["type"], node.get("format")] if "type" in node else "any"


def flags(node: dict[str, Any]) -> Iterator[str]:
    """Patch and server-side-apply marks of one property."""
    if strategy := node.get("x-kubernetes-patch-strategy"):
        key = node.get("x-kubernetes-patch-merge-key")
        yield f"patch={strategy}" + (f":{key}" if key else "")
    if keys := node.get("x-kubernetes-list-map-keys"):
        yield "keys=" + ",".join(keys)
    elif kind := node.get("x-kubernetes-list-type"):
        yield f"list={kind}"
    if kind := node.get("x-kubernetes-map-type"):
        yield f"map={kind}"
    if node.get("default") not in (None, {}, ""):
        yield "default=" + json.dumps(node["default"], separators=(",", ":"))


def definition_lines(name: str, node: dict[str, Any], used: set[str]) -> Iterator[str]:
    """One definition of types.txt, its head line first."""
    head = short_name(name)
    if "properties" not in node:
        special = {"int-or-string": "int-or-string", "date-time": "time"}
        kind = special.get(node.get("format", ""))
        if kind is None:
            kind = "quantity" if head.endswith("Quantity") else node.get("type", "any")
        yield f"{head} : {kind}"
        return
    yield " ".join([head, *(f for f in flags(node) if f.startswith("map="))])
    required = set(node.get("required", ()))
    for field, value in node["properties"].items():
        mark = "!" if field in required else ""
        yield " ".join([f" {field}{mark}", type_text(value, used), *flags(value)])


def types(source: Path) -> Iterator[str]:
    """Every definition that the chosen groups reach."""
    schemas: dict[str, Any] = {}
    wanted: set[str] = set()
    for group, version in GROUP_VERSIONS:
        stem = f"apis__{group}__{version}" if group else f"api__{version}"
        text = (source / f"api/openapi-spec/v3/{stem}_openapi.json").read_text()
        for name, node in json.loads(text)["components"]["schemas"].items():
            schemas[name] = node
            if any(
                (kind["group"], kind["version"]) in GROUP_VERSIONS
                for kind in node.get("x-kubernetes-group-version-kind", ())
            ):
                wanted.add(name)
    done: dict[str, list[str]] = {}
    while wanted:
        name = wanted.pop()
        used: set[str] = set()
        done[name] = list(definition_lines(name, schemas[name], used))
        wanted |= used - done.keys()
    for name in sorted(done):
        yield from done[name]


def resources(source: Path) -> Iterator[str]:
    """Every resource of the chosen groups with its subresources indented below it."""
    document = json.loads((source / "api/discovery/aggregated_v2.json").read_text())
    core = json.loads((source / "api/discovery/api__v1.json").read_text())
    served = {
        (group["metadata"]["name"], version["version"]): version["resources"]
        for group in document["items"]
        for version in group["versions"]
    }
    yield from core_resources(core["resources"])
    for group, version in GROUP_VERSIONS[1:]:
        for item in served[group, version]:
            scope = "N" if item["scope"] == "Namespaced" else "C"
            yield " ".join(
                (
                    f"{group}/{version}",
                    item["resource"],
                    item["singularResource"],
                    item["responseKind"]["kind"],
                    scope,
                    ",".join(item["verbs"]),
                    ",".join(item.get("shortNames") or ()) or "-",
                    ",".join(item.get("categories") or ()) or "-",
                )
            )
            for sub in item.get("subresources", ()):
                kind = sub["responseKind"]
                owner = f"{kind['group']}/{kind['version']}".strip("/") or "-"
                yield f" {sub['subresource']} {kind['kind']} {owner} {','.join(sub['verbs'])}"


def core_resources(items: list[dict[str, Any]]) -> Iterator[str]:
    """The legacy group, which the aggregated document of the source tree leaves out."""
    for item in items:
        name, _, sub = item["name"].partition("/")
        verbs = ",".join(item["verbs"])
        if sub:
            owner = f"{item.get('group', '')}/{item.get('version', '')}".strip("/") or "-"
            yield f" {sub} {item['kind']} {owner} {verbs}"
            continue
        scope = "N" if item["namespaced"] else "C"
        short = ",".join(item.get("shortNames") or ()) or "-"
        categories = ",".join(item.get("categories") or ()) or "-"
        singular = item["singularName"]
        yield f"/v1 {name} {singular} {item['kind']} {scope} {verbs} {short} {categories}"


def main() -> None:
    """Writes the two tables beside this module."""
    source = Path(sys.argv[1])
    here = Path(__file__).parent
    note = "# Kinds, field names and types of Kubernetes v1.36; written by extract.py.\n"
    (here / "types.txt").write_text(note + "\n".join(types(source)) + "\n")
    (here / "resources.txt").write_text(note + "\n".join(resources(source)) + "\n")


if __name__ == "__main__":
    main()
