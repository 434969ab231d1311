"""Rule and Policy: which requests the cluster allows, and by which rule; pure, no I/O.

What a rule does not know counts against the request: a list over all namespaces matches a `deny` rule about one
namespace and no `allow` rule about one; likewise for names that are only in a body, and for unknown users.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pipeops.agent.policy.request import READ_VERBS, ApiRequest

DISCOVERY: Final = "discovery"
_DISCOVERY_PATHS: Final = re.compile(
    r"/|/api(/[^/]+)?|/apis(/[^/]+){0,2}|/openapi(/.*)?|/version|/swagger.*"
    r"|/(healthz|livez|readyz)(/.*)?|/\.well-known/openid-configuration|/openid/v1/jwks|/metrics"
)
#: Reviews of one's own rights: a POST that stores nothing.
_SELF_REVIEWS: Final = frozenset(
    ("selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews")
)
_REVIEW_GROUPS: Final = frozenset(("authorization.k8s.io", "authentication.k8s.io"))
_RUNS_COMMANDS: Final = frozenset(("exec", "attach"))
_FORWARDS: Final = frozenset(("portforward", "proxy"))


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may pass, and which rule says so."""

    allowed: bool
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class User:
    """Who asks; `known` is False where the control plane did not say it."""

    name: str = ""
    groups: tuple[str, ...] = ()
    known: bool = True


class Patterns:
    """A list of names in which `*` stands for any text; the empty list matches everything."""

    __slots__ = ("_pattern",)

    def __init__(self, texts: Iterable[str]) -> None:
        parts = [".*".join(map(re.escape, text.split("*"))) for text in texts]
        self._pattern = re.compile("|".join(parts), re.DOTALL) if parts else None

    @property
    def restricts(self) -> bool:
        """Whether there is a list at all."""
        return self._pattern is not None

    def match(self, text: str) -> bool:
        """Whether the whole of `text` is in the list."""
        return self._pattern is None or self._pattern.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ResourcePattern:
    """`resource[.group][/subresource]`; `*` alone is everything, no group is every group, `core` the core group."""

    resource: Patterns
    group: Patterns
    subresource: Patterns | None
    everything: bool = False

    @classmethod
    def parse(cls, text: str) -> "ResourcePattern":
        """Read one pattern, as checked by the loader."""
        whole, slash, subresource = text.partition("/")
        resource, _, group = whole.partition(".")
        return cls(
            Patterns([resource]),
            Patterns(["" if group == "core" else group] if group else []),
            Patterns([subresource]) if slash else None,
            everything=text == "*",
        )

    def match(self, request: ApiRequest, *, with_subresources: bool) -> bool:
        """Whether a request for a resource is meant; `pods` covers `pods/log` only `with_subresources`."""
        if self.everything:
            return True
        if not self.resource.match(request.resource) or not self.group.match(request.group):
            return False
        if self.subresource is None:
            return with_subresources or not request.subresource
        return bool(request.subresource) and self.subresource.match(request.subresource)


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `allow` or `deny`. An empty list of a kind does not restrict it."""

    name: str
    users: Patterns
    groups: Patterns
    verbs: Patterns
    namespaces: Patterns
    names: Patterns
    resources: tuple[ResourcePattern, ...] = ()
    paths: Patterns | None = None

    def allows(self, request: ApiRequest, user: User) -> bool:
        """As an `allow` rule: everything it asks about must be known and match."""
        if not self._is_for(user, unknown=False) or not self.verbs.match(request.verb):
            return False
        if not request.resource:
            return self.paths is not None and self.paths.match(request.path)
        return (
            self._covers(request, with_subresources=False)
            and self._is_in(self.namespaces, request.namespace, unknown=False)
            and self._is_in(self.names, request.name, unknown=False)
        )

    def denies(self, request: ApiRequest, user: User) -> bool:
        """As a `deny` rule: what is not known may be what it forbids."""
        if not self._is_for(user, unknown=True) or not self.verbs.match(request.verb):
            return False
        if not request.resource:
            return self.paths is not None and self.paths.match(request.path)
        lists_namespaces = request.resource == "namespaces" and request.verb in {"list", "watch"}
        return (
            self._covers(request, with_subresources=True)
            and self._is_in(self.namespaces, request.namespace, unknown=not lists_namespaces)
            and self._is_in(self.names, request.name, unknown=True)
        )

    def _covers(self, request: ApiRequest, *, with_subresources: bool) -> bool:
        if not self.resources:
            return self.paths is None
        return any(
            pattern.match(request, with_subresources=with_subresources)
            for pattern in self.resources
        )

    def _is_for(self, user: User, *, unknown: bool) -> bool:
        if not self.users.restricts and not self.groups.restricts:
            return True
        if not user.known:
            return unknown
        return (self.users.restricts and self.users.match(user.name)) or (
            self.groups.restricts and any(self.groups.match(group) for group in user.groups)
        )

    @staticmethod
    def _is_in(patterns: Patterns, value: str, *, unknown: bool) -> bool:
        if not patterns.restricts:
            return True
        return patterns.match(value) if value else unknown


@dataclass(frozen=True, slots=True)
class Policy:
    """All of a policy. `allow` and `services` restrict only where they are given (not None)."""

    read_only: bool = False
    exec: bool = True
    port_forward: bool = True
    deny: tuple[Rule, ...] = ()
    allow: tuple[Rule, ...] | None = None
    services: Patterns | None = None

    def decide(self, request: ApiRequest, user: User) -> Decision:
        """Judge one request for the Kubernetes API."""
        if self.read_only and not _only_reads(request):
            return Decision(False, "readOnly", "only reading is allowed")
        if not self.exec and _runs_commands(request):
            return Decision(False, "exec", "running commands in pods is not allowed")
        if not self.port_forward and request.subresource in _FORWARDS:
            return Decision(False, "portForward", "forwarding ports is not allowed")
        for rule in self.deny:
            if rule.denies(request, user):
                return Decision(False, rule.name, "a deny rule matches")
        if self.allow is None:
            return Decision(True, "", "no rule restricts it")
        if is_discovery(request):
            return Decision(True, DISCOVERY, "clients need it to work at all")
        for rule in self.allow:
            if rule.allows(request, user):
                return Decision(True, rule.name, "an allow rule matches")
        return Decision(False, "allow", "no allow rule matches")

    def decide_service(self, namespace: str, name: str, port: int) -> Decision:
        """Judge a connection to a Service."""
        if self.services is None:
            return Decision(True, "", "no rule restricts Services")
        if namespace and name and self.services.match(f"{namespace}/{name}:{port}"):
            return Decision(True, "services", "the Service is listed")
        return Decision(False, "services", "the Service is not listed")


def is_discovery(request: ApiRequest) -> bool:
    """Whether a request only learns which APIs there are, or whether the server is well."""
    return (
        not request.resource
        and request.verb == "get"
        and _DISCOVERY_PATHS.fullmatch(request.path) is not None
    )


def _only_reads(request: ApiRequest) -> bool:
    if not request.resource:
        return is_discovery(request)
    if request.verb in READ_VERBS:
        return True
    return (
        request.verb == "create"
        and request.group in _REVIEW_GROUPS
        and request.resource in _SELF_REVIEWS
        and not request.subresource
    )


def _runs_commands(request: ApiRequest) -> bool:
    if request.subresource in _RUNS_COMMANDS:
        return True
    if request.resource == "nodes" and request.subresource == "proxy":
        return True  # the kubelet's own API has run and exec
    return request.subresource == "ephemeralcontainers" and request.verb not in READ_VERBS
