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
    if version and version != resource.group_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version "
            f"({resource.group_version})"
        )
    if kind and kind != resource.kind:
        raise bad_request(
            f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"converting ({kind}) to ({resource.kind}): unknown conversion"
        )
    try:
        found = decode(value, definition, defaults=defaults)
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


def _report(request: Request, unknown: list[str], what: str, validation: Validation) -> None:
    problems = [f'unknown field "{path}"' for path in sorted(unknown)]
    if validation == "Warn":
        request.warnings += problems
    elif validation == "Strict":
        raise strict_error(what, problems)


def strict_error(what: str, problems: list[str]) -> ApiError:
    """400 for what strict decoding refuses."""
    return bad_request(f"{what}: strict decoding error: {', '.join(problems)}")
