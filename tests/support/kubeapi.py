"""A small blocking client of the Kubernetes API for fixtures: a connection for each request, no retries."""

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.support.certificates import KeyPair

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class KubeApiError(RuntimeError):
    """The API server answered with an error; `status` is the HTTP status, `body` what it said."""

    def __init__(self, method: str, path: str, status: int, body: bytes) -> None:
        super().__init__(f"{method} {path}: {status} {body[:500]!r}")
        self.status = status
        self.body = body


class KubeApi:
    """Requests with one credential. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        ca_file: Path,
        *,
        client: KeyPair | None = None,
        token: str | None = None,
        timeout: float = 15.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            raise ValueError(f"{url}: expected https://HOST:PORT")
        self._address = (parts.hostname, parts.port)
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        if client is not None:
            self._tls.load_cert_chain(client.certificate, client.key)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        return self.request("GET", path + _query(query))

    def post(self, path: str, body: object) -> dict[str, Any]:
        return self.request("POST", path, body)

    def merge(self, path: str, body: object) -> dict[str, Any]:
        """A JSON merge patch."""
        return self.request("PATCH", path, body, content_type=MERGE_PATCH)

    def apply(self, path: str, body: object, *, manager: str = "pipeops-tests") -> dict[str, Any]:
        """Server-side apply, forced."""
        query = urlencode({"fieldManager": manager, "force": "true"})
        return self.request("PATCH", f"{path}?{query}", body, content_type=APPLY_PATCH)

    def delete(self, path: str, body: object | None = None) -> dict[str, Any]:
        return self.request("DELETE", path, body)

    def request(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        content_type: str = JSON,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request with a JSON answer.

        Raises:
            KubeApiError: Status 400 or above.
            OSError: The server cannot be reached.
            http.client.HTTPException: It does not speak HTTP.
        """
        status, answer = self.raw(method, path, body, content_type=content_type, headers=headers)
        if status >= 400:
            raise KubeApiError(method, path, status, answer)
        return json.loads(answer) if answer.startswith(b"{") else {"text": answer.decode()}

    def raw(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        content_type: str = JSON,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """One request; the status and the body as they came."""
        payload = None if body is None else json.dumps(body).encode()
        sent = {**self._headers, **({"Content-Type": content_type} if payload else {})}
        with contextlib.closing(self._open(self._timeout)) as connection:
            connection.request(method, path, payload, sent | (headers or {}))
            response = connection.getresponse()
            return response.status, response.read()

    def ready(self) -> bool:
        """Whether `/readyz` says ok."""
        try:
            return self.raw("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def watch(self, path: str, *, timeout: float, **query: str) -> Iterator[dict[str, Any]]:
        """Events of a watch until the server ends it after `timeout` seconds, on a connection of its own."""
        query |= {"watch": "true", "timeoutSeconds": str(int(timeout))}
        with contextlib.closing(self._open(timeout + 10)) as connection:
            connection.request("GET", path + _query(query), headers=self._headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise KubeApiError("GET", path, response.status, response.read())
            while line := response.readline():
                yield json.loads(line)

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(*self._address, timeout=timeout, context=self._tls)


def _query(query: dict[str, str]) -> str:
    return f"?{urlencode(query)}" if query else ""
