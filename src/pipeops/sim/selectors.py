"""Label and field selectors: their query syntax, their object form, and what they match."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeops.sim.errors import bad_request
from pipeops.sim.objects import JsonObject, dig, labels_of

_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_SET = re.compile(rf"^({_KEY})\s+(in|notin)\s+\(([^)]*)\)$")
_EQUAL = re.compile(rf"^({_KEY})\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)$")
_EXISTS = re.compile(rf"^(!?)\s*({_KEY})$")
_COMPARE = re.compile(rf"^({_KEY})\s*(<|>)\s*(\d+)$")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term: `operator` is in, notin, exists, absent, below or above."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels satisfies the term."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case _:
                pass
        if value is None or not value.isdigit():
            return False
        bound = int(next(iter(self.values)))
        return int(value) < bound if self.operator == "below" else int(value) > bound


Selector = tuple[Requirement, ...]


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether every term holds; an empty selector matches everything."""
    return all(requirement.matches(labels) for requirement in selector)


def _terms(text: str) -> list[str]:
    terms, depth, start = [], 0, 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            terms.append(text[start:position])
            start = position + 1
    terms.append(text[start:])
    return [term.strip() for term in terms if term.strip()]


def parse_labels(text: str) -> Selector:
    """The `labelSelector` query parameter; 400 when it cannot be read."""
    found = []
    for term in _terms(text):
        if match := _SET.match(term):
            values = frozenset(value.strip() for value in match[3].split(","))
            found.append(Requirement(match[1], match[2], values))
        elif match := _EQUAL.match(term):
            operator = "notin" if match[2] == "!=" else "in"
            found.append(Requirement(match[1], operator, frozenset({match[3]})))
        elif match := _COMPARE.match(term):
            operator = "below" if match[2] == "<" else "above"
            found.append(Requirement(match[1], operator, frozenset({match[3]})))
        elif match := _EXISTS.match(term):
            found.append(Requirement(match[2], "absent" if match[1] else "exists"))
        else:
            raise bad_request(f"unable to parse requirement: invalid label selector {term!r}")
    return tuple(found)


def from_object(selector: JsonObject | None) -> Selector | None:
    """A `metav1.LabelSelector`; None (which matches nothing) when there is none."""
    if selector is None:
        return None
    found = [
        Requirement(key, "in", frozenset({value}))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    names = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    for term in selector.get("matchExpressions") or ():
        values = frozenset(term.get("values") or ())
        found.append(Requirement(term["key"], names[term["operator"]], values))
    return tuple(found)


def render(selector: JsonObject | None) -> str:
    """A `metav1.LabelSelector` as kubectl prints it in wide tables."""
    if not selector:
        return "<none>"
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for term in selector.get("matchExpressions") or ():
        values = ",".join(sorted(term.get("values") or ()))
        match term["operator"]:
            case "In":
                parts.append(f"{term['key']} in ({values})")
            case "NotIn":
                parts.append(f"{term['key']} notin ({values})")
            case "Exists":
                parts.append(term["key"])
            case _:
                parts.append("!" + term["key"])
    return ",".join(parts) or "<none>"


_EVENT_FIELDS = {
    f"involvedObject.{part}": ("involvedObject", part)
    for part in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
} | {
    "reason": ("reason",),
    "reportingComponent": ("reportingComponent",),
    "source": ("source", "component"),
    "type": ("type",),
}
FIELDS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("", "pods"): {
        "spec.nodeName": ("spec", "nodeName"),
        "spec.restartPolicy": ("spec", "restartPolicy"),
        "spec.schedulerName": ("spec", "schedulerName"),
        "spec.serviceAccountName": ("spec", "serviceAccountName"),
        "spec.hostNetwork": ("spec", "hostNetwork"),
        "status.phase": ("status", "phase"),
        "status.podIP": ("status", "podIP"),
        "status.nominatedNodeName": ("status", "nominatedNodeName"),
    },
    ("", "events"): _EVENT_FIELDS,
    ("", "secrets"): {"type": ("type",)},
    ("", "namespaces"): {"status.phase": ("status", "phase")},
    ("", "nodes"): {"spec.unschedulable": ("spec", "unschedulable")},
    ("", "services"): {
        "spec.clusterIP": ("spec", "clusterIP"),
        "spec.type": ("spec", "type"),
    },
    ("apps", "replicasets"): {"status.replicas": ("status", "replicas")},
    ("", "replicationcontrollers"): {"status.replicas": ("status", "replicas")},
    ("batch", "jobs"): {"status.successful": ("status", "succeeded")},
    ("certificates.k8s.io", "certificatesigningrequests"): {
        "spec.signerName": ("spec", "signerName"),
    },
}
"""Which fields each resource can be selected by, besides its name and namespace."""

_EVERYWHERE = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
}


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One `field=value` or `field!=value`."""

    path: tuple[str, ...]
    value: str
    equal: bool

    def matches(self, obj: JsonObject) -> bool:
        """Whether the object satisfies the term; an unset field counts as empty."""
        found = dig(obj, *self.path)
        text = str(found).lower() if isinstance(found, bool) else str(found or "")
        if found is None and self.path[-1] in {"unschedulable", "hostNetwork"}:
            text = "false"
        return (text == self.value) is self.equal


def parse_fields(text: str, group: str, plural: str) -> tuple[FieldTerm, ...]:
    """The `fieldSelector` query parameter; 400 for a field the resource does not offer."""
    offered = _EVERYWHERE | FIELDS.get((group, plural), {})
    found = []
    for term in filter(None, (part.strip() for part in text.split(","))):
        field, operator, value = _split_field(term)
        if field not in offered:
            raise bad_request(
                f"field label not supported: {field}"
                if (group, plural) in FIELDS
                else f'"{field}" is not a known field selector: only "metadata.name", '
                '"metadata.namespace"'
            )
        found.append(FieldTerm(offered[field], value, operator != "!="))
    return tuple(found)


def _split_field(term: str) -> tuple[str, str, str]:
    for operator in ("!=", "==", "="):
        field, found, value = term.partition(operator)
        if found:
            return field, operator, value
    raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")


def object_filter(
    labels: str, fields: str, group: str, plural: str
) -> Callable[[JsonObject], bool]:
    """A predicate over objects from the two query parameters."""
    label_terms = parse_labels(labels)
    field_terms = parse_fields(fields, group, plural)

    def accept(obj: JsonObject) -> bool:
        return matches(label_terms, labels_of(obj)) and all(t.matches(obj) for t in field_terms)

    return accept


def as_query(selector: JsonObject) -> str:
    """A `metav1.LabelSelector` as the text of a label selector."""
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or ():
        key, values = term["key"], ",".join(sorted(term.get("values") or ()))
        text = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
        }.get(term["operator"], f"!{key}")
        terms.append((key, text))
    return ",".join(text for _, text in sorted(terms))
