"""From a request body to an object of the kind that the URL names."""

from typing import Any

from pipeops.sim.errors import ApiError, bad_request
from pipeops.sim.http import Request
from pipeops.sim.kinds import Resource
from pipeops.sim.objects import JsonObject
from pipeops.sim.options import Validation
from pipeops.sim.schema.decode import WrongTypeError, decode
from pipeops.sim.schema.model import Definition


def typed(
    request: Request,
    value: Any,
    resource: Resource,
    definition: Definition,
    validation: Validation,
    *,
    defaults: bool = True,
) -> JsonObject:
    """The object that a typed decoder would read.

    Unknown fields become warnings on the request, or a 400 when validation is Strict.

    Raises:
        ApiError: 400 for another kind or version, for values of a wrong type and, when asked for, unknown fields.
    """
    if not isinstance(value, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    wanted = f'{resource.kind} in version "{resource.version}" cannot be handled as a'
    kind, version = value.get("kind"), value.get("apiVersion")
    if (version or resource.group_version, kind or resource.kind) != (
        resource.group_version,
        resource.kind,
    ):
        raise _other_kind(str(version or resource.group_version), str(kind), resource)
    try:
        found = decode(value, definition, defaults=defaults, types=resource.custom is None)
    except WrongTypeError as error:
        raise bad_request(f"{wanted} {resource.kind}: {error}") from error
    if found.unknown:
        _report(request, found.unknown, f"{wanted} {resource.kind}", validation)
    cleaned: JsonObject = found.value
    if not isinstance(cleaned.get("metadata"), dict):
        cleaned["metadata"] = {}
    return {
        "kind": resource.kind,
        "apiVersion": resource.group_version,
        **{key: item for key, item in cleaned.items() if key not in {"kind", "apiVersion"}},
    }


def _other_kind(version: str, kind: str, resource: Resource) -> ApiError:
    group, _, number = version.rpartition("/")
    what = f'{kind} in version "{number}" cannot be handled as a {resource.kind}:'
    if version != resource.group_version:
        return bad_request(
            f'{what} no kind "{kind}" is registered for version "{version}" in scheme '
            '"pkg/runtime/scheme.go:111"'
        )
    package = group.split(".")[0] if group else "core"
    return bad_request(
        f"{what} converting ({number}.{kind}) to ({package}.{resource.kind}): unknown conversion"
    )


def _report(request: Request, unknown: list[str], what: str, validation: Validation) -> None:
    problems = [f'unknown field "{path}"' for path in unknown]
    if validation == "Warn":
        request.warnings += problems
    elif validation == "Strict":
        raise strict_error(what, problems)


def strict_error(what: str, problems: list[str]) -> ApiError:
    """400 for what strict decoding refuses."""
    return bad_request(f"{what}: strict decoding error: {', '.join(problems)}")
