"""JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge patch."""

from typing import Any

from pipeops.sim.errors import ApiError, bad_request
from pipeops.sim.objects import JsonObject, deep_copy
from pipeops.sim.schema.model import Definition, Field, Type, resolve

MAX_OPERATIONS = 10_000


def _unprocessable() -> ApiError:
    message = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", message, {})


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386, without changing either argument."""
    if not isinstance(patch, dict):
        return deep_copy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: JsonObject, operations: Any) -> Any:
    """RFC 6902; 400 for a malformed patch, 422 for one that does not apply."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value")
    if len(operations) > MAX_OPERATIONS:
        raise ApiError(
            413,
            "RequestEntityTooLarge",
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got "
            f"{len(operations)}",
            {},
        )
    document: Any = deep_copy(target)
    for operation in operations:
        if not isinstance(operation, dict):
            raise bad_request("error decoding patch: operation is not an object")
        document = _operate(document, operation)
    return document


def _pointer(text: Any) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _unprocessable()
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _operate(document: Any, operation: JsonObject) -> Any:
    path = _pointer(operation.get("path"))
    match operation.get("op"):
        case "add":
            return _add(document, path, deep_copy(operation.get("value")))
        case "replace":
            _find(document, path)
            return _add(_remove(document, path), path, deep_copy(operation.get("value")))
        case "remove":
            return _remove(document, path)
        case "test":
            if _find(document, path) != operation.get("value"):
                raise _unprocessable()
            return document
        case "move":
            source = _pointer(operation.get("from"))
            value = _find(document, source)
            return _add(_remove(document, source), path, value)
        case "copy":
            return _add(document, path, deep_copy(_find(document, _pointer(operation.get("from")))))
        case _:
            raise _unprocessable()


def _index(items: list[Any], part: str, *, end: bool) -> int:
    if part == "-" and end:
        return len(items)
    limit = len(items) + (1 if end else 0)
    if not part.isdigit() or int(part) >= limit:
        raise _unprocessable()
    return int(part)


def _find(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, list):
            document = document[_index(document, part, end=False)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise _unprocessable()
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        parent.insert(_index(parent, path[-1], end=True), value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise _unprocessable()
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    _find(document, path)
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        del parent[_index(parent, path[-1], end=False)]
    else:
        del parent[path[-1]]
    return document


def strategic_patch(target: JsonObject, patch: JsonObject, definition: Definition) -> JsonObject:
    """Kubernetes' own patch: lists merge by key where the schema says so. 400 when malformed."""
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: must be an object")
    return _merge_struct(target, patch, definition)


_DIRECTIVES = ("$patch", "$retainKeys", "$setElementOrder/", "$deleteFromPrimitiveList/")


def _merge_struct(target: Any, patch: JsonObject, definition: Definition | None) -> JsonObject:
    directive = patch.get("$patch")
    clean = {k: v for k, v in patch.items() if not k.startswith("$")}
    if directive == "replace":
        return dict(deep_copy(clean))
    if directive == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    if (kept := patch.get("$retainKeys")) is not None:
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [item for item in result.get(name) or () if item not in value]
    orders = {
        key.partition("/")[2]: value
        for key, value in patch.items()
        if key.startswith("$setElementOrder/")
    }
    for key in {**clean, **{key: None for key in orders if key in result}}:
        value = clean.get(key, [] if key in orders else None)
        known = definition.fields.get(key) if definition else None
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_value(result.get(key), value, known, orders.get(key))
    return result


def _definition(kind: Type | None) -> Definition | None:
    shape = resolve(kind) if kind is not None else None
    return shape if isinstance(shape, Definition) else None


def _merge_value(current: Any, value: Any, known: Field | None, order: Any = None) -> Any:
    if isinstance(value, dict):
        kind = known.type if known else None
        if kind is not None and kind.form == "map":
            return _merge_struct(current, value, None)
        return _merge_struct(current, value, _definition(kind))
    if isinstance(value, list):
        if known is None or "merge" not in known.patch.split(","):
            return [item for item in deep_copy(value) if not _is_directive(item)]
        if known.merge_key:
            return _merge_list(current or [], value, known, order)
        added = [item for item in value if item not in (current or [])]
        return _ordered([*(current or []), *added], order or value, current or [], "")
    return value


def _is_directive(item: Any) -> bool:
    return isinstance(item, dict) and set(item) == {"$patch"}


def _merge_list(current: list[Any], patch: list[Any], known: Field, order: Any) -> list[Any]:
    key = known.merge_key
    element = _definition(known.type.element)
    result = list(current)
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [deep_copy(item) for item in patch if item.get("$patch") != "replace"]
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            shown = _go_map(item) if isinstance(item, dict) else str(item)
            message = f"map: {shown} does not contain declared merge key: {key}"
            raise ApiError(500, "", message)
        place = next((i for i, held in enumerate(result) if held.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            result = [held for held in result if held.get(key) != item[key]]
        elif place is None:
            result.append(_merge_struct({}, item, element))
        else:
            result[place] = _merge_struct(result[place], item, element)
    return _ordered(result, order or patch, current, key)


def _go_map(value: JsonObject) -> str:
    return "map[" + " ".join(f"{key}:{item}" for key, item in sorted(value.items())) + "]"


def _ordered(items: list[Any], order: list[Any], before: list[Any], key: str) -> list[Any]:
    """Items that `order` names in its order; the others keep their place among those as `before`."""

    def identity(item: Any) -> str:
        return str(item.get(key)) if key and isinstance(item, dict) else str(item)

    wanted = {identity(item): index for index, item in enumerate(order)}
    place = {identity(item): index for index, item in enumerate(before)}
    named = sorted((i for i in items if identity(i) in wanted), key=lambda i: wanted[identity(i)])
    others = [item for item in items if identity(item) not in wanted]
    result: list[Any] = []
    while named and others:
        mine, theirs = place.get(identity(named[0])), place.get(identity(others[0]))
        first = mine is None or theirs is None or mine < theirs
        result.append((named if first else others).pop(0))
    return [*result, *named, *others]
