"""What a request asks for: verb, group, resource, namespace, name, from its method and path."""

from dataclasses import dataclass
from typing import Any

from pipeops.sim.http import Request
from pipeops.sim.selectors import parse_fields

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}
_METHOD_VERBS = {"DELETE": "delete", "OPTIONS": "options"}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The attributes that authorization, audit and dispatch look at."""

    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    plural: str = ""
    name: str = ""
    subresource: str = ""
    rest: tuple[str, ...] = ()

    @property
    def resource_and_subresource(self) -> str:
        """`pods` or `pods/exec`, as rules name them."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


def request_info(request: Request) -> RequestInfo:
    """Cuts a path as the API server's RequestInfoFactory does."""
    verb = _VERBS.get(request.method) or _METHOD_VERBS.get(request.method, "")
    plain = RequestInfo(request.method.lower(), request.path)
    parts = [part for part in request.path.split("/") if part]
    found: dict[str, Any] = {}
    if len(parts) >= 3 and parts[0] == "api":
        found["version"], parts = parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        found["group"], found["version"], parts = parts[1], parts[2], parts[3:]
    else:
        return plain
    watch = request.flag("watch")
    if parts[0] == "watch" and len(parts) > 1:
        watch, parts = True, parts[1:]
    if parts[0] == "namespaces" and len(parts) > 1:
        found["namespace"] = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    found["plural"] = parts[0]
    found["name"] = parts[1] if len(parts) > 1 else ""
    found["subresource"] = parts[2] if len(parts) > 2 else ""
    found["rest"] = tuple(parts[3:])
    if not found["name"] and verb == "get":
        verb = "watch" if watch else "list"
    elif not found["name"] and verb == "delete":
        verb = "deletecollection"
    elif watch and verb == "get" and not found["subresource"]:
        verb = "watch"
    if verb in {"list", "watch", "deletecollection"} and not found["name"]:
        found["name"] = _selected_name(request.param("fieldSelector"))
    return RequestInfo(verb=verb, path=request.path, is_resource=True, **found)


def _selected_name(selector: str) -> str:
    # The API server authorizes a list of exactly one name as if the name were in the path.
    if "metadata.name" not in selector:
        return ""
    term = next((t for t in selector.split(",") if t.startswith("metadata.name=")), "")
    terms = parse_fields(term, "", "")
    return terms[0].value if terms and terms[0].equal else ""
