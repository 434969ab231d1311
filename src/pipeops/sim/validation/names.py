"""Names, labels and annotations."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pipeops.sim.kinds import Resource
from pipeops.sim.objects import JsonObject

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
MAX_LABEL, MAX_SUBDOMAIN, MAX_ANNOTATIONS = 63, 253, 256 * 1024

LABEL_HELP = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_HELP = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_1035_HELP = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED_HELP = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE_HELP = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


class Cause(NamedTuple):
    """One mistake: reason, field, message."""

    reason: str
    field: str
    message: str


def wrong(field: str, value: object, why: str) -> Cause:
    """`Invalid value`."""
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Cause("FieldValueInvalid", field, f"Invalid value: {shown}: {why}")


def required(field: str, why: str = "") -> Cause:
    """`Required value`."""
    return Cause("FieldValueRequired", field, "Required value" + (f": {why}" if why else ""))


def unsupported(field: str, value: str, supported: tuple[str, ...]) -> Cause:
    """`Unsupported value`."""
    listed = ", ".join(f'"{item}"' for item in sorted(supported))
    text = f'Unsupported value: "{value}": supported values: {listed}'
    return Cause("FieldValueNotSupported", field, text)


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def dns_label(value: str) -> list[str]:
    """What is wrong with an RFC 1123 label."""
    problems = [] if len(value) <= MAX_LABEL else [_too_long(MAX_LABEL)]
    return problems if LABEL.fullmatch(value) else [*problems, LABEL_HELP]


def dns_subdomain(value: str) -> list[str]:
    """What is wrong with an RFC 1123 subdomain."""
    problems = [] if len(value) <= MAX_SUBDOMAIN else [_too_long(MAX_SUBDOMAIN)]
    return problems if SUBDOMAIN.fullmatch(value) else [*problems, SUBDOMAIN_HELP]


def dns_1035_label(value: str) -> list[str]:
    """What is wrong with an RFC 1035 label."""
    problems = [] if len(value) <= MAX_LABEL else [_too_long(MAX_LABEL)]
    return problems if LABEL_1035.fullmatch(value) else [*problems, LABEL_1035_HELP]


def path_segment(value: str) -> list[str]:
    """What is wrong with a name that only has to fit into a URL (RBAC objects)."""
    if value in {".", ".."}:
        return [f"may not be '{value}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in value]


_CHECKS: dict[tuple[str, str], Callable[[str], list[str]]] = {
    ("", "namespaces"): dns_label,
    ("", "services"): dns_1035_label,
    ("rbac.authorization.k8s.io", "roles"): path_segment,
    ("rbac.authorization.k8s.io", "rolebindings"): path_segment,
    ("rbac.authorization.k8s.io", "clusterroles"): path_segment,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): path_segment,
}


def qualified_name(value: str) -> list[str]:
    """What is wrong with a label's or annotation's key."""
    prefix, slash, name = value.rpartition("/")
    problems = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        problems += [f"prefix part {text}" for text in dns_subdomain(prefix)]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > MAX_LABEL:
        problems.append("name part " + _too_long(MAX_LABEL))
    if not QUALIFIED.fullmatch(name):
        problems.append(QUALIFIED_HELP)
    return problems


def labels(value: JsonObject, field: str) -> Iterator[Cause]:
    """Keys and values of a label map."""
    for key, text in value.items():
        yield from (wrong(field, key, why) for why in qualified_name(key))
        if len(text) > MAX_LABEL:
            yield wrong(field, text, _too_long(MAX_LABEL))
        if not LABEL_VALUE.fullmatch(text):
            yield wrong(field, text, LABEL_VALUE_HELP)


def metadata_causes(resource: Resource, obj: JsonObject) -> Iterator[Cause]:
    """Everything that can be wrong with an object's metadata."""
    meta = obj.get("metadata") or {}
    name = meta.get("name") or ""
    check = _CHECKS.get((resource.group, resource.plural), dns_subdomain)
    if not name:
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from (wrong("metadata.name", name, why) for why in check(name))
    yield from labels(meta.get("labels") or {}, "metadata.labels")
    notes = meta.get("annotations") or {}
    for key in notes:
        yield from (wrong("metadata.annotations", key, why) for why in qualified_name(key.lower()))
    if sum(len(key) + len(text) for key, text in notes.items()) > MAX_ANNOTATIONS:
        yield Cause(
            "FieldValueTooLong",
            "metadata.annotations",
            f"Too long: may not be more than {MAX_ANNOTATIONS} bytes",
        )
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                yield wrong(f"metadata.ownerReferences[{index}].{key}", "", "must not be empty")
