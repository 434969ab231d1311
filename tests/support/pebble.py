"""Starts Pebble, the ACME server that Let's Encrypt tests clients with, its DNS server, and a listener for HTTP-01."""

import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import gobuild
from tests.support.certificates import Authority
from tests.support.processes import Child, free_port, port_open, wait_until

PATH = "/.well-known/acme-challenge/"
BLOCKED = "blocked.example.com"
EAB_KEY_ID = "kid-1"
EAB_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"  # not a secret: this file has it


class ChallengeListener:
    """A plain-HTTP server that answers as the public gateway does: from a function of host and token."""

    def __init__(self, answer: Callable[[str, str], bytes | None]) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                token = self.path.removeprefix(PATH)
                body = answer(self.headers["Host"], token) if token != self.path else None
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                """Pebble's own log has it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Pebble:
    """One ACME server and its DNS: every name resolves to 127.0.0.1.

    Args:
        directory: for its files; logs are there, too.
        http_port: where it looks for HTTP-01.
        binding: it wants accounts to be bound to `EAB_KEY_ID`.
    """

    def __init__(self, directory: Path, http_port: int, *, binding: bool = False) -> None:
        built = gobuild.pebble()
        if built.path is None:
            pytest.skip(built.reason)
        self._program = built.path
        self._directory = directory
        self.port, self.management = free_port(), free_port()
        self.dns_port, self.dns_management = free_port(), free_port()
        authority = Authority(directory / "pebble-ca")
        pair = authority.server("pebble", "localhost", "127.0.0.1")
        self.ca_file = authority.ca_file
        self.directory_url = f"https://127.0.0.1:{self.port}/dir"
        self._config = directory / "pebble.json"
        self._config.write_text(
            json.dumps(
                {
                    "pebble": {
                        "listenAddress": f"127.0.0.1:{self.port}",
                        "managementListenAddress": f"127.0.0.1:{self.management}",
                        "certificate": str(pair.certificate),
                        "privateKey": str(pair.key),
                        "httpPort": http_port,
                        "tlsPort": free_port(),
                        "externalAccountBindingRequired": binding,
                        "externalAccountMACKeys": {EAB_KEY_ID: EAB_KEY} if binding else {},
                        "domainBlocklist": [BLOCKED],
                        "retryAfter": {"authz": 1, "order": 1},
                        "keyAlgorithm": "ecdsa",
                        "profiles": {
                            "default": {"description": "for tests", "validityPeriod": 7_776_000}
                        },
                    }
                }
            )
        )
        self._dns = Child(
            "challtestsrv",
            [
                self._program.parent / "challtestsrv", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "",
                "-dnsserver", f"127.0.0.1:{self.dns_port}", "-management", f"127.0.0.1:{self.dns_management}",
                "-defaultIPv6", "",
            ],
            log=directory / "challtestsrv.log",
        )  # fmt: skip
        wait_until(
            lambda: port_open(self.dns_management),
            "challtestsrv",
            timeout=20,
            children=[self._dns],
        )
        self.start()

    def start(self, *, nonce_reject: int = 20) -> None:
        """Start it, with nothing in its memory; it refuses that many of 100 good nonces."""
        self._server = Child(
            "pebble",
            [self._program, "-strict", "-config", self._config, "-dnsserver", f"127.0.0.1:{self.dns_port}"],
            log=self._directory / "pebble.log",
            env={
                "PATH": "/usr/bin:/bin",
                "PEBBLE_VA_NOSLEEP": "1",
                "PEBBLE_AUTHZREUSE": "0",
                "PEBBLE_WFE_NONCEREJECT": str(nonce_reject),
            },
        )  # fmt: skip
        wait_until(lambda: port_open(self.port), "Pebble", timeout=20, children=[self._server])

    def stop(self) -> None:
        """End the ACME server; its DNS stays."""
        self._server.stop()

    def close(self) -> None:
        self._server.stop()
        self._dns.stop()

    def dns(self, action: str, **body: Any) -> None:
        """Call the management API of the DNS server, for example `set-txt`."""
        httpx.post(f"http://127.0.0.1:{self.dns_management}/{action}", json=body).raise_for_status()

    def root(self) -> str:
        """PEM of the authority that signs what it issues; made anew at each start."""
        answer = httpx.get(
            f"https://127.0.0.1:{self.management}/roots/0", verify=_trust(self.ca_file)
        )
        return answer.raise_for_status().text

    def hook(self) -> Path:
        """A DNS hook for its DNS server; it writes down how it was called."""
        path = self._directory / "dns-hook"
        path.write_text(
            "#!/bin/sh\n"
            f'echo "$@" >> {self._directory}/dns-hook.log\n'
            f"env > {self._directory}/dns-hook.env\n"
            'case "$1" in\n'
            '  add) action=set-txt; body="{\\"host\\": \\"$2.\\", \\"value\\": \\"$3\\"}" ;;\n'
            '  remove) action=clear-txt; body="{\\"host\\": \\"$2.\\"}" ;;\n'
            "esac\n"
            f'exec curl -sf -d "$body" http://127.0.0.1:{self.dns_management}/$action\n'
        )
        path.chmod(0o755)
        return path


def _trust(ca_file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)
