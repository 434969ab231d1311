"""The served kinds: a table of built-in resources, and custom ones while their CRD exists."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources as package_files
from types import MappingProxyType
from typing import NamedTuple

from pipeops.sim.objects import JsonObject

UNSERVED = frozenset({("autoscaling/v1", "horizontalpodautoscalers")})
"""In the table but not served: it needs a conversion nobody asks for."""

GROUP_ORDER = (
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
)
"""Discovery order: it decides which group a short name means."""


class GroupResource(NamedTuple):
    """What storage is keyed by: all versions of a resource share one place."""

    group: str
    plural: str


@dataclass(frozen=True, slots=True)
class Subresource:
    """One subresource as discovery shows it; `owner` is the kind's group/version, or empty."""

    name: str
    kind: str
    owner: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one API version.

    `definition` names its type in the schema table (built-in kinds); `custom` holds the version's
    entry of the CRD's `spec.versions` instead.
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, Subresource] = field(default_factory=lambda: MappingProxyType({}))
    definition: str = ""
    custom: JsonObject | None = None
    list_kind: str = ""

    @property
    def group_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage(self) -> GroupResource:
        """Where its objects live."""
        return GroupResource(self.group, self.plural)

    @property
    def persistent(self) -> bool:
        """Whether objects of it are stored (reviews are only ever created)."""
        return "list" in self.verbs


def _split(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


def _builtin_lines() -> Iterator[tuple[list[str], list[list[str]]]]:
    text = package_files.files("pipeops.sim.schema").joinpath("resources.txt").read_text()
    head: list[str] = []
    subs: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if line.startswith(" "):
            subs.append(line.split())
            continue
        if head:
            yield head, subs
        head, subs = line.split(), []
    yield head, subs


def builtin_resources() -> Iterator[Resource]:
    """Every built-in resource, in the table's order."""
    for head, subs in _builtin_lines():
        owner, plural, singular, kind, scope, verbs, short, categories = head
        group, _, version = owner.partition("/")
        if (owner, plural) in UNSERVED:
            continue
        below = {
            name: Subresource(name, sub_kind, "" if own == "-" else own, _split(sub_verbs))
            for name, sub_kind, own, sub_verbs in subs
        }
        prefix = group.split(".")[0] if group else "core"
        yield Resource(
            group=group,
            version=version,
            plural=plural,
            singular=singular,
            kind=kind,
            namespaced=scope == "N",
            verbs=_split(verbs),
            short_names=_split(short),
            categories=_split(categories),
            subresources=MappingProxyType(below),
            definition=f"{prefix}.{version}.{kind}",
            list_kind=kind + "List",
        )


class Registry:
    """Which resources are served now. Custom ones come and go with their CRD."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._custom: dict[str, list[Resource]] = {}
        self.generation = 0
        for resource in builtin_resources():
            self._by_path[resource.group, resource.version, resource.plural] = resource

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at a URL path, if it is served."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, group_version: str, kind: str) -> Resource | None:
        """The resource that serves objects of this apiVersion and kind."""
        for resource in self._by_path.values():
            if resource.kind == kind and resource.group_version == group_version:
                return resource
        return None

    def by_storage(self, storage: GroupResource) -> Resource | None:
        """Any version of the resource stored there."""
        for resource in self._by_path.values():
            if resource.storage == storage:
                return resource
        return None

    def all(self) -> list[Resource]:
        """Every served resource."""
        return list(self._by_path.values())

    def groups(self) -> dict[str, list[str]]:
        """Group to its versions, preferred first; the core group is the empty string."""
        found: dict[str, list[str]] = {group: [] for group in ("", *GROUP_ORDER)}
        for resource in self._by_path.values():
            versions = found.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
        found["autoscaling"] = ["v2", "v1"]
        for versions in found.values():
            versions.sort(key=version_rank)
        return {group: versions for group, versions in found.items() if versions}

    def in_version(self, group: str, version: str) -> list[Resource]:
        """The resources of one group and version, by name as the API server sorts them."""
        found = [r for r in self._by_path.values() if (r.group, r.version) == (group, version)]
        return sorted(found, key=lambda resource: resource.plural)

    def install(self, definition: str, served: list[Resource]) -> None:
        """Serve the versions of one CRD in place of what it served before."""
        self.uninstall(definition)
        self._custom[definition] = served
        for resource in served:
            self._by_path[resource.group, resource.version, resource.plural] = resource

    def uninstall(self, definition: str) -> None:
        """Stop serving a CRD's versions."""
        self.generation += 1
        for resource in self._custom.pop(definition, []):
            self._by_path.pop((resource.group, resource.version, resource.plural), None)


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sort key: v2 before v1 before v1beta1 before v1alpha1, then anything else by name."""
    head = version.removeprefix("v")
    for order, mark in enumerate(("", "beta", "alpha")):
        major, found, minor = head.partition(mark) if mark else (head, "", "0")
        if major.isdigit() and minor.isdigit() and (found or not mark):
            return order, -int(major), -int(minor), version
    return 3, 0, 0, version
