"""Conversations with an API server, written down so that two servers' answers can be compared."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

from tests.support.kubeapi import KubeApi

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
GENERATED = re.compile(r"(?<=gen-)[bcdfghjklmnpqrstvwxz2456789]{5}\b")
AGE = re.compile(r"\d{1,2}s")
QUOTED_VERSION = re.compile(r"(?<=resourceVersion)(\W+)\d+")
VERSIONS = frozenset({"resourceVersion"})
HIDDEN = frozenset({"continue", "clusterIP", "clusterIPs", "storageVersionHash", "serverAddress"})


class Conversation:
    """Sends requests in one namespace, called `NS` in the transcript."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.steps: list[dict[str, Any]] = []

    def path(self, text: str) -> str:
        """`NS` in a path stands for the namespace."""
        return text.replace("/NS", f"/{self.namespace}")

    def call(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        kind: str = "application/json",
        accept: str = "",
        headers: dict[str, str] | None = None,
        note: bool = True,
    ) -> Any:
        """One request; writes down status, warnings and body, and returns the body as it came."""
        sent = dict(headers or {})
        if accept:
            sent["Accept"] = accept
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent["Content-Type"] = kind
        with contextlib.closing(self.api._open(20)) as connection:
            connection.request(method, self.path(path), data, self.api._headers | sent)
            response = connection.getresponse()
            text = response.read().decode()
        try:
            answer: Any = json.loads(text)
        except ValueError:
            answer = text
        if note:
            self.steps.append(
                {
                    "request": _normal_text(f"{method} {path}", self.namespace),
                    "status": response.status,
                    "type": response.headers.get("Content-Type", ""),
                    "warnings": [
                        value for key, value in response.getheaders() if key.lower() == "warning"
                    ],
                    "body": normal(answer, self.namespace),
                }
            )
        return answer

    def wait_for(self, path: str, condition: str) -> None:
        """Wait until an object has a condition; not written down."""
        for _ in range(100):
            found = self.call("GET", path, note=False)
            conditions = (found.get("status") or {}).get("conditions") or ()
            if any(c["type"] == condition and c["status"] == "True" for c in conditions):
                return
            time.sleep(0.1)
        raise AssertionError(f"{path}: never {condition}")

    def events(self, path: str, count: int) -> None:
        """Write down the first events of a watch."""
        with contextlib.closing(self.api._open(20)) as connection:
            connection.request("GET", self.path(path), headers=self.api._headers)
            response = connection.getresponse()
            found = [json.loads(response.readline()) for _ in range(count)]
        self.steps.append(
            {
                "request": f"WATCH {path}",
                "status": response.status,
                "body": normal(found, self.namespace),
            }
        )


def _normal_text(text: str, namespace: str) -> str:
    if AGE.fullmatch(text):
        return "AGE"
    text = TIME.sub("TIME", text)
    text = UID.sub("UID", text)
    text = TOKEN.sub("TOKEN", text)
    text = GENERATED.sub("XXXXX", text)
    text = QUOTED_VERSION.sub(r"\1VERSION", text)
    return text.replace(namespace, "NS") if namespace else text


def _without_status(value: dict[str, Any]) -> dict[str, Any]:
    """Without what controllers write: no two servers share their timing."""
    meta = dict(value.get("metadata") or {})
    if "managedFields" in meta:
        meta["managedFields"] = [
            entry for entry in meta["managedFields"] if entry.get("subresource") != "status"
        ]
    meta.pop("annotations", None)
    return {key: item for key, item in value.items() if key != "status"} | {"metadata": meta}


def normal(value: Any, namespace: str) -> Any:
    """Without what no two servers can agree on: uids, times, versions, addresses."""
    if isinstance(value, dict):
        found = {}
        if value.get("kind") == "Deployment" and "status" in value:
            value = _without_status(value)
        for key, item in value.items():
            if key == "description" and "priority" in value:
                continue
            shown = _normal_text(key, namespace)
            if key in VERSIONS:
                found[shown] = "VERSION" if item else item
            elif key in HIDDEN:
                found[shown] = "HIDDEN" if item not in ("", None) else item
            else:
                found[shown] = normal(item, namespace)
        return found
    if isinstance(value, list):
        return [normal(item, namespace) for item in value]
    if isinstance(value, str):
        return _normal_text(value, namespace)
    return value


def differences(left: Any, right: Any, path: str = "") -> Iterator[str]:
    """The paths at which two normalised values differ, with both values."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            absent = "<absent>"
            yield from differences(
                left.get(key, absent), right.get(key, absent), f"{path}.{key}" if path else key
            )
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif left != right:
        yield f"{path}: simulated {_short(left)} real {_short(right)}"


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 700 else text[:697] + "..."
