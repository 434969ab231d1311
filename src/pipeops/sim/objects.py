"""JSON objects as the simulator stores them: their type, parts, copies and timestamps."""

from datetime import UTC, datetime
from typing import Any

JsonObject = dict[str, Any]
"""An API object, or a part of one, exactly as it travels."""


def deep_copy(value: Any) -> Any:
    """A copy that shares nothing mutable with `value` (JSON types only)."""
    if isinstance(value, dict):
        return {key: deep_copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [deep_copy(item) for item in value]
    return value


def metadata(obj: JsonObject) -> JsonObject:
    """The object's metadata, created when it is missing or null."""
    found = obj.get("metadata")
    if not isinstance(found, dict):
        found = obj["metadata"] = {}
    return found


def name_of(obj: JsonObject) -> str:
    """`metadata.name`, or the empty string."""
    return str((obj.get("metadata") or {}).get("name") or "")


def namespace_of(obj: JsonObject) -> str:
    """`metadata.namespace`, or the empty string for cluster-scoped objects."""
    return str((obj.get("metadata") or {}).get("namespace") or "")


def labels_of(obj: JsonObject) -> dict[str, str]:
    """`metadata.labels`, or an empty mapping."""
    return (obj.get("metadata") or {}).get("labels") or {}


def uid_of(obj: JsonObject) -> str:
    """`metadata.uid`, or the empty string."""
    return str((obj.get("metadata") or {}).get("uid") or "")


def dig(obj: Any, *path: str) -> Any:
    """The value at `path`, or None as soon as a part of it is missing."""
    for key in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(key)
    return obj


def controller_of(obj: JsonObject) -> JsonObject | None:
    """The owner reference marked as the managing controller."""
    for reference in (obj.get("metadata") or {}).get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def owner_reference(owner: JsonObject) -> JsonObject:
    """A controller reference to `owner`, as the built-in controllers write it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def timestamp(unix: float) -> str:
    """RFC 3339 in whole seconds (`metav1.Time`)."""
    return datetime.fromtimestamp(int(unix), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(unix: float) -> str:
    """RFC 3339 with microseconds (`metav1.MicroTime`)."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def nano_timestamp(unix: float) -> str:
    """RFC 3339 with nanoseconds, as a kubelet stamps log lines."""
    whole = datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return whole + "000Z"


def parse_timestamp(text: str) -> float:
    """Unix seconds of an RFC 3339 time; ValueError when it is not one."""
    return datetime.fromisoformat(text).timestamp()
