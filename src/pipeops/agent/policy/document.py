"""Reading a policy file: YAML to `Policy`, strict, all problems at once."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pipeops.agent.policy.rules import Patterns, Policy, ResourcePattern, Rule
from pipeops.errors import PipeOpsError

MAX_RULES: Final = 500
MAX_LIST: Final = 500
VERBS: Final = (
    "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "connect", "options",
)  # fmt: skip
WORDS: Final = {
    "read": ("get", "list", "watch"),
    "write": ("create", "update", "patch", "delete", "deletecollection"),
}
_TOP: Final = frozenset(("version", "readOnly", "exec", "portForward", "deny", "allow", "services"))
_RULE: Final = frozenset(
    ("name", "users", "groups", "verbs", "namespaces", "names", "resources", "paths")
)
_RESOURCE: Final = re.compile(r"\*|[a-z0-9*-]+(\.[a-z0-9*.-]+)?(/[a-z0-9*-]+)?")
_SERVICE: Final = re.compile(r"[a-z0-9*.-]+/[a-z0-9*.-]+:([0-9]{1,5}|\*)")


class PolicyError(PipeOpsError):
    """A policy that cannot be used; the text names the source and everything that is wrong."""


def parse(content: object, source: str) -> Policy:
    """Return the policy that a parsed YAML document describes.

    An unknown key is an error: misspelt, it would allow what somebody meant to forbid.

    Raises:
        PolicyError: with every problem.
    """
    reader = _Reader()
    policy = reader.policy(content)
    if reader.problems:
        raise PolicyError(f"policy {source}: {'; '.join(reader.problems)}")
    return policy


class _Reader:
    """Reads a document and collects what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._names: set[str] = set()

    def policy(self, content: object) -> Policy:
        if not isinstance(content, Mapping):
            self.problems.append("expected a mapping that begins with `version: 1`")
            return Policy()
        self._known(content, _TOP, "")
        if content.get("version") != 1:
            self.problems.append("version: expected 1")
        deny, allow = content.get("deny"), content.get("allow")
        services = content.get("services")
        return Policy(
            read_only=self._flag(content, "readOnly", default=False),
            exec=self._flag(content, "exec", default=True),
            port_forward=self._flag(content, "portForward", default=True),
            deny=self._rules(deny, "deny") if "deny" in content else (),
            allow=self._rules(allow, "allow") if "allow" in content else None,
            services=self._services(services) if "services" in content else None,
        )

    def _known(self, content: Mapping[Any, Any], allowed: frozenset[str], where: str) -> None:
        for key in content:
            if key not in allowed:
                self.problems.append(
                    f"{where}{key}: unknown; there are {', '.join(sorted(allowed))}"
                )

    def _flag(self, content: Mapping[Any, Any], key: str, *, default: bool) -> bool:
        value = content.get(key, default)
        if isinstance(value, bool):
            return value
        self.problems.append(f"{key}: expected true or false")
        return default

    def _rules(self, content: object, kind: str) -> tuple[Rule, ...]:
        if not isinstance(content, list) or len(content) > MAX_RULES:
            self.problems.append(f"{kind}: expected a list of at most {MAX_RULES} rules")
            return ()
        return tuple(
            rule
            for index, item in enumerate(content)
            if (rule := self._rule(item, f"{kind}[{index}]")) is not None
        )

    def _rule(self, content: object, where: str) -> Rule | None:
        if not isinstance(content, Mapping):
            self.problems.append(f"{where}: expected a mapping with {', '.join(sorted(_RULE))}")
            return None
        self._known(content, _RULE, f"{where}.")
        name = content.get("name", where)
        if not isinstance(name, str) or not name or len(name) > 100 or not name.isprintable():
            self.problems.append(f"{where}.name: expected a short text")
            name = where
        if name in self._names:
            self.problems.append(f"{where}.name: {name!r} is used twice")
        self._names.add(name)
        texts = {key: self._texts(content, key, where) for key in _RULE - {"name"}}
        if "paths" in content and ("resources" in content or "namespaces" in content):
            self.problems.append(f"{where}: a rule is about paths or about resources, not both")
        return Rule(
            name=name,
            users=Patterns(texts["users"]),
            groups=Patterns(texts["groups"]),
            verbs=Patterns(self._verbs(texts["verbs"], where)),
            namespaces=Patterns(texts["namespaces"]),
            names=Patterns(texts["names"]),
            resources=self._resources(texts["resources"], where),
            paths=Patterns(texts["paths"]) if "paths" in content else None,
        )

    def _texts(self, content: Mapping[Any, Any], key: str, where: str) -> list[str]:
        """A list of text; given but empty it would read as no restriction, so that is an error."""
        if key not in content:
            return []
        value = content[key]
        if isinstance(value, str):
            value = [value]
        good = (
            isinstance(value, list)
            and 0 < len(value) <= MAX_LIST
            and all(isinstance(item, str) and item and len(item) <= 512 for item in value)
        )
        if not good:
            self.problems.append(f"{where}.{key}: expected a list of text that is not empty")
            return []
        return list(value)

    def _verbs(self, texts: list[str], where: str) -> list[str]:
        result: list[str] = []
        for text in texts:
            if text not in VERBS and text not in WORDS and text != "*":
                known = ", ".join((*VERBS, *WORDS, "*"))
                self.problems.append(f"{where}.verbs: {text!r} is none of {known}")
            result += WORDS.get(text, (text,))
        return result

    def _resources(self, texts: list[str], where: str) -> tuple[ResourcePattern, ...]:
        for text in texts:
            if _RESOURCE.fullmatch(text) is None:
                self.problems.append(
                    f"{where}.resources: {text!r} is not like pods, pods/log or deployments.apps"
                )
        return tuple(map(ResourcePattern.parse, texts))

    def _services(self, value: object) -> Patterns:
        if not isinstance(value, list) or len(value) > MAX_LIST:
            self.problems.append("services: expected a list such as [team-a/web:80]")
            return Patterns(())
        for item in value:
            if not isinstance(item, str) or _SERVICE.fullmatch(item) is None:
                self.problems.append(f"services: {item!r} is not namespace/name:port")
        # An empty list allows none: a pattern that nothing matches.
        return Patterns([str(item) for item in value] or ["/"])
