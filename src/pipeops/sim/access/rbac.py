"""A role-based authorizer over the stored roles and bindings, and its refusals."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeops.sim.access.users import User
from pipeops.sim.errors import ApiError, forbidden
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import JsonObject, name_of, namespace_of
from pipeops.sim.storage import Change, Store

GROUP = "rbac.authorization.k8s.io"
ROLES = GroupResource(GROUP, "roles")
CLUSTER_ROLES = GroupResource(GROUP, "clusterroles")
ROLE_BINDINGS = GroupResource(GROUP, "rolebindings")
CLUSTER_ROLE_BINDINGS = GroupResource(GROUP, "clusterrolebindings")
MAX_CACHED_USERS = 1024


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is to be done. `path` is set, and the rest empty, for non-resource requests."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """`pods` or `pods/exec`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Grant:
    """One policy rule where it holds: in one namespace, or everywhere when that is empty."""

    namespace: str
    rule: JsonObject
    reason: str


def _holds(listed: list[str] | None, wanted: str) -> bool:
    return listed is not None and ("*" in listed or wanted in listed)


def rule_allows(rule: JsonObject, wanted: Attributes) -> bool:
    """Whether one policy rule covers the attributes."""
    if not _holds(rule.get("verbs"), wanted.verb):
        return False
    if wanted.path:
        return any(
            url in {"*", wanted.path} or (url[-1:] == "*" and wanted.path.startswith(url[:-1]))
            for url in rule.get("nonResourceURLs") or ()
        )
    if not _holds(rule.get("apiGroups"), wanted.group):
        return False
    resources = rule.get("resources") or []
    any_parent = f"*/{wanted.subresource}"
    if not _holds(resources, wanted.full_resource) and not (
        wanted.subresource and any_parent in resources
    ):
        return False
    names = rule.get("resourceNames") or []
    return not names or wanted.name in names


def _subject_is(subject: JsonObject, user: User, binding_namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject.get("name") == user.name)
        case "Group":
            return subject.get("name") in user.groups
        case "ServiceAccount":
            namespace = subject.get("namespace") or binding_namespace
            return user.name == f"system:serviceaccount:{namespace}:{subject.get('name')}"
        case _:
            return False


class Authorizer:
    """Decides from the store's current roles and bindings; grants are cached until those change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: dict[tuple[str, tuple[str, ...]], list[Grant]] = {}
        store.listeners.append(self._on_change)

    def _on_change(self, place: GroupResource, change: Change) -> None:
        del change
        if place.group == GROUP:
            self._cache.clear()

    def grants(self, user: User) -> list[Grant]:
        """Every rule that the user holds."""
        key = (user.name, user.groups)
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= MAX_CACHED_USERS:
                self._cache.clear()
            found = self._cache[key] = list(self._collect(user))
        return found

    def _collect(self, user: User) -> Iterator[Grant]:
        for binding in self._store.objects(CLUSTER_ROLE_BINDINGS):
            yield from self._binding_grants(binding, user, "")
        for binding in self._store.objects(ROLE_BINDINGS):
            yield from self._binding_grants(binding, user, namespace_of(binding))

    def _binding_grants(self, binding: JsonObject, user: User, namespace: str) -> Iterator[Grant]:
        subjects = binding.get("subjects") or ()
        subject = next((s for s in subjects if _subject_is(s, user, namespace)), None)
        if subject is None:
            return
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            role = self._store.get(CLUSTER_ROLES, "", reference["name"])
        else:
            role = self._store.get(ROLES, namespace, reference["name"])
        kind = "RoleBinding" if namespace else "ClusterRoleBinding"
        where = f'"{name_of(binding)}/{namespace}"' if namespace else f'"{name_of(binding)}"'
        whom = f'"{subject["name"]}"'
        if subject["kind"] == "ServiceAccount":
            whom = f'"{subject["name"]}/{subject.get("namespace") or namespace}"'
        to = f'of {reference["kind"]} "{reference["name"]}" to {subject["kind"]} {whom}'
        for rule in (role or {}).get("rules") or ():
            yield Grant(namespace, rule, f"RBAC: allowed by {kind} {where} {to}")

    def allows(self, user: User, wanted: Attributes) -> str | None:
        """The reason why the user may, or None."""
        if "system:masters" in user.groups:
            return ""
        for grant in self.grants(user):
            if grant.namespace and grant.namespace != wanted.namespace:
                continue
            if grant.namespace and wanted.path:
                continue
            if rule_allows(grant.rule, wanted):
                return grant.reason
        return None

    def rules(self, user: User, namespace: str) -> list[JsonObject]:
        """The policy rules that hold for the user in one namespace."""
        if "system:masters" in user.groups:
            everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
            return [everything, {"nonResourceURLs": ["*"], "verbs": ["*"]}]
        return [g.rule for g in self.grants(user) if g.namespace in {"", namespace}]

    def require(self, user: User, wanted: Attributes) -> None:
        """403 in the API server's words when the user may not."""
        if self.allows(user, wanted) is None:
            raise refusal(user, wanted)


def refusal(user: User, wanted: Attributes) -> ApiError:
    """The 403 for attributes that nothing allows."""
    who = f'User "{user.name}" cannot {wanted.verb}'
    if wanted.path:
        return forbidden("", "", "", f'{who} path "{wanted.path}"')
    where = "at the cluster scope"
    if wanted.namespace:
        where = f'in the namespace "{wanted.namespace}"'
    what = f'resource "{wanted.full_resource}" in API group "{wanted.group}"'
    return forbidden(wanted.group, wanted.resource, wanted.name, f"{who} {what} {where}")
