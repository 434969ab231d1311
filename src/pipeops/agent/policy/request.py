"""ApiRequest: what a method and target ask of the Kubernetes API, read exactly or not at all.

The rules are those of the API server's RequestInfo, which works on the *decoded* path: `%2f` divides
segments there. Whatever two readers could understand differently is refused here instead of guessed.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote_to_bytes

READ_VERBS: Final = frozenset(("get", "list", "watch"))
#: Subresources that a GET only reads. Any other subresource may open a channel: its GET is a `connect`.
READABLE: Final = frozenset(
    ("approval", "ephemeralcontainers", "eviction", "log", "resize", "scale", "status")
)
#: Subresources that are channels whatever the method.
CHANNELS: Final = frozenset(("attach", "exec", "portforward", "proxy"))

_VERBS: Final = {
    b"GET": "get",
    b"HEAD": "get",
    b"POST": "create",
    b"PUT": "update",
    b"PATCH": "patch",
    b"DELETE": "delete",
}
_NAMESPACE_PARTS: Final = frozenset(("status", "finalize"))
_WORD: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_ESCAPE: Final = re.compile(rb"%(..)?", re.DOTALL)
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{2}")


class Unreadable(Exception):
    """A request that cannot be judged; the text says why."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request, with empty strings where it names nothing.

    Attributes:
        verb: get, list, watch, create, update, patch, delete, deletecollection; `connect` for channels
            (exec, attach, port-forward, proxy and unknown subresources), whatever the HTTP method.
        resource: plural name; empty for paths that are no resources, then `path` is set.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    def __str__(self) -> str:
        """Say what is asked for, in words for people."""
        if not self.resource:
            return f"{self.verb} {self.path}"
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        what += f"/{self.subresource}" if self.subresource else ""
        what += f" {self.name!r}" if self.name else ""
        return f"{self.verb} {what}" + (f" in namespace {self.namespace}" if self.namespace else "")


def read(method: bytes, target: bytes) -> ApiRequest:
    """Return what a request line asks for.

    Raises:
        Unreadable: the path is not in its one normal form, or is no request the API knows.
    """
    verb = _VERBS.get(method)
    path, _, query = target.partition(b"?")
    if verb is None:
        if method != b"OPTIONS":
            raise Unreadable(f"the method {method[:16].decode('latin-1')!r} is none of the API's")
        verb = "options"
    parts = _segments(path)
    plain = "/" + "/".join(parts)
    if len(parts) < 3 or parts[0] not in {"api", "apis"}:
        return ApiRequest(verb, path=plain)
    rest = parts[1:]
    group = ""
    if parts[0] == "apis":
        if len(rest) < 3:
            return ApiRequest(verb, path=plain)
        group = _word(rest.pop(0), "group")
    _word(rest.pop(0), "version")
    return _resource(verb, group, rest, query)


def _segments(path: bytes) -> list[str]:
    """Decode a path that has one meaning only; behind `/proxy/` it belongs to somebody else."""
    if not path.startswith(b"/"):
        raise Unreadable("the path does not begin with /")
    raw = path[1:].split(b"/")
    if raw[-1] == b"":
        raw.pop()
    result: list[str] = []
    foreign = False
    for segment in raw:
        if not segment and not foreign:
            raise Unreadable("the path has an empty segment (//)")
        text = _decode(segment, foreign=foreign)
        if text in {".", ".."} or (foreign and _climbs(text)):
            raise Unreadable("the path has a . or .. segment")
        result.append(text)
        foreign = foreign or (text == "proxy" and _ends_with_subresource(result))
    return result


def _ends_with_subresource(parts: list[str]) -> bool:
    """Whether the last of these segments stands where a subresource does."""
    at = 2 if parts[0] == "api" else 3 if parts[0] == "apis" else len(parts)
    if parts[at : at + 1] == ["watch"]:
        at += 1
    if parts[at : at + 1] == ["namespaces"] and parts[at + 2 : at + 3]:
        at += 2 if parts[at + 2] not in _NAMESPACE_PARTS else 0
    return len(parts) == at + 3


def _decode(segment: bytes, *, foreign: bool) -> str:
    if not foreign and (b"\\" in segment or b";" in segment):
        raise Unreadable("the path has a \\ or ; in it")
    if b"%" not in segment:
        return segment.decode("latin-1")
    _check_escapes(segment, "path")
    decoded = unquote_to_bytes(segment)
    if not foreign and any(byte in decoded for byte in b"/\\%;"):
        raise Unreadable("the path hides a / \\ ; or % behind an escape")
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("the path is not UTF-8") from None
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise Unreadable("the path has a control character")
    return text


def _check_escapes(text: bytes, what: str) -> None:
    for match in _ESCAPE.finditer(text):
        if match.group(1) is None or _HEX.fullmatch(match.group(1)) is None:
            raise Unreadable(f"the {what} has a broken % escape")


def _climbs(text: str) -> bool:
    return any(part in {".", ".."} for part in re.split(r"[/\\]", text))


def _word(text: str, what: str) -> str:
    if _WORD.fullmatch(text) is None:
        raise Unreadable(f"{text[:64]!r} is no {what} name")
    return text


def _resource(verb: str, group: str, rest: list[str], query: bytes) -> ApiRequest:
    if rest[0] == "watch" and len(rest) > 1 and verb == "get":
        verb, rest = "watch", rest[1:]
    if rest[0] in {"proxy", "redirect", "watch"}:
        raise Unreadable(f"the prefix {rest[0]!r} is gone from the API")
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = _word(rest[1], "namespace")
        if len(rest) > 2 and rest[2] not in _NAMESPACE_PARTS:
            rest = rest[2:]
    resource = _word(rest[0], "resource")
    name = rest[1] if len(rest) > 1 else ""
    subresource = _word(rest[2], "subresource") if len(rest) > 2 else ""
    if subresource in CHANNELS or (subresource and verb == "get" and subresource not in READABLE):
        verb = "connect"
    elif not name:
        verb = _of_many(verb, query)
    return ApiRequest(verb, group, resource, subresource, namespace, name)


def _of_many(verb: str, query: bytes) -> str:
    """The verb of a request that names no object."""
    if verb == "delete":
        return "deletecollection"
    if verb != "get":
        return verb
    # Go's parser leaves out what it cannot read; ours would not.
    _check_escapes(query, "query")
    if b";" in query:
        raise Unreadable("the query has a ; in it")
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("watch", [])
    if len({_true(value) for value in values}) > 1:
        raise Unreadable("the query says both watch=true and watch=false")
    return "watch" if values and _true(values[0]) else "list"


def _true(value: str) -> bool:
    """As the API server reads booleans: everything but these two words."""
    return value.lower() not in {"false", "0"}
