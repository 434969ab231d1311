"""An API server that answers from a script, in place of `KubeClient`."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from pipeops.kube.errors import KubeError, status_error


def status(code: int, message: str = "no", *, reason: str = "Unknown") -> KubeError:
    return status_error(code, reason, message)


class Script:
    """Hands out what was prepared, in order; errors are raised. Every request is in `asked`."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any]] = []

    def queries(self) -> list[dict[str, str]]:
        return [
            {key: values[0] for key, values in parse_qs(urlsplit(path).query).items()}
            for _, path, _ in self.asked
        ]

    def _next(self, method: str, path: str, body: Any = None) -> Any:
        self.asked.append((method, path, body))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def fetch(self, path: str, *, seconds: float | None = None) -> bytearray:
        return bytearray(msgspec.json.encode(self._next("GET", path)))

    async def get(self, path: str, kind: Any, *, accept: str = "") -> Any:
        return msgspec.convert(self._next("GET", path), kind)

    async def post(self, path: str, body: Any, kind: Any) -> Any:
        return msgspec.convert(self._next("POST", path, body), kind)

    async def patch(self, path: str, body: Any, kind: Any, *, content_type: str) -> Any:
        return msgspec.convert(self._next("PATCH", path, body), kind)

    async def delete(self, path: str, options: Any = None) -> None:
        self._next("DELETE", path, options)

    async def may(self, question: Any) -> bool:
        return bool(self._next("MAY", question.resource))

    async def lines(self, path: str, *, silence: float) -> AsyncIterator[bytes]:
        for line in self._next("WATCH", path):
            if isinstance(line, BaseException):
                raise line
            yield line if isinstance(line, bytes) else msgspec.json.encode(line)


def page(names: str, version: str = "10", token: str = "") -> dict[str, Any]:
    meta = {"resourceVersion": version} | ({"continue": token} if token else {})
    return {"metadata": meta, "items": [item(name) for name in names]}


def item(name: str, version: str = "1") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": version}}


def event(kind: str, name: str, version: str) -> dict[str, Any]:
    return {"type": kind, "object": item(name, version)}
