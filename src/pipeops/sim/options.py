"""What a write's query parameters and delete body ask for."""

from dataclasses import dataclass
from typing import Literal

from pipeops.sim.errors import bad_request, invalid
from pipeops.sim.http import Request
from pipeops.sim.negotiation import decode
from pipeops.sim.objects import JsonObject

META = "meta.k8s.io"
MAX_MANAGER = 128
Validation = Literal["Strict", "Warn", "Ignore"]
Propagation = Literal["Background", "Foreground", "Orphan"]
PROPAGATIONS = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options of create, update and patch. `force` is None when the client did not say."""

    manager: str
    dry_run: bool = False
    validation: Validation = "Warn"
    force: bool | None = None
    named: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Options of a deletion; `grace` is None for the kind's own."""

    grace: int | None = None
    propagation: Propagation = "Background"
    dry_run: bool = False
    uid: str = ""
    version: str = ""


def _dry_run(values: list[str], kind: str) -> bool:
    for value in values:
        if value != "All":
            text = f'Unsupported value: ["{value}"]: supported values: "All"'
            raise invalid(META, kind, "", [("FieldValueNotSupported", "dryRun", text)])
    return bool(values)


def manager_of(request: Request) -> str:
    """The field manager: as given, else the user agent's program name."""
    given = request.param("fieldManager")
    return given or request.header("user-agent").partition("/")[0][:MAX_MANAGER] or "unknown"


def write_options(request: Request, kind: str) -> WriteOptions:
    """Options of a create, update or patch (`kind` names them in errors); 422 when wrong."""
    validation = request.param("fieldValidation") or "Warn"
    problem = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
    checked: Validation
    match validation:
        case "Strict" | "Warn" | "Ignore":
            checked = validation
        case _:
            cause = ("FieldValueNotSupported", "fieldValidation", problem)
            raise invalid(META, kind, "", [cause])
    given = request.param("fieldManager")
    if len(given) > MAX_MANAGER:
        text = f"Too long: may not be more than {MAX_MANAGER} bytes"
        raise invalid(META, kind, "", [("FieldValueTooLong", "fieldManager", text)])
    force = request.flag("force") if "force" in request.query else None
    dry_run = _dry_run(request.query.get("dryRun", []), kind)
    return WriteOptions(manager_of(request), dry_run, checked, force, bool(given))


async def delete_options(request: Request) -> DeleteOptions:
    """Options of a deletion, from the body and, where that is silent, the query."""
    body = await request.body()
    given: JsonObject = decode(body, request.header("content-type")) if body else {}
    if given and given.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request("decoded object cannot be converted to DeleteOptions")
    grace = given.get("gracePeriodSeconds")
    if grace is None and request.param("gracePeriodSeconds").isdigit():
        grace = int(request.param("gracePeriodSeconds"))
    asked = given.get("propagationPolicy") or request.param("propagationPolicy")
    orphan = given.get("orphanDependents")
    if not asked and orphan is not None:
        asked = "Orphan" if orphan else "Background"
    propagation: Propagation = "Background"
    match asked:
        case "Background" | "Foreground" | "Orphan":
            propagation = asked
        case None | "":
            pass
        case _:
            text = f'Unsupported value: "{asked}": supported values: "Foreground", "Background", "Orphan", "nil"'
            cause = ("FieldValueNotSupported", "propagationPolicy", text)
            raise invalid(META, "DeleteOptions", "", [cause])
    conditions = given.get("preconditions") or {}
    dry_run = _dry_run(given.get("dryRun") or request.query.get("dryRun", []), "DeleteOptions")
    return DeleteOptions(
        grace,
        propagation,
        dry_run,
        conditions.get("uid") or "",
        conditions.get("resourceVersion") or "",
    )


def check_list_options(request: Request, *, watch: bool) -> None:
    """422 for a resourceVersionMatch or sendInitialEvents that makes no sense where it stands."""
    match, version = request.param("resourceVersionMatch"), request.param("resourceVersion")
    problem = ""
    field = "resourceVersionMatch"
    if "sendInitialEvents" in request.query:
        if not watch:
            field, problem = "sendInitialEvents", "sendInitialEvents is forbidden for list"
        elif match != "NotOlderThan":
            problem = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    elif not match:
        return
    elif watch:
        problem = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    elif not version:
        problem = "resourceVersionMatch is forbidden unless resourceVersion is provided"
    elif request.param("continue"):
        problem = "resourceVersionMatch is forbidden when continue is provided"
    elif match not in {"Exact", "NotOlderThan"}:
        text = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"'
        raise invalid(META, "ListOptions", "", [("FieldValueNotSupported", field, text)])
    elif match == "Exact" and version == "0":
        problem = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    if problem:
        cause = ("FieldValueForbidden", field, f"Forbidden: {problem}")
        raise invalid(META, "ListOptions", "", [cause])
