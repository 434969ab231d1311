"""What stands between agents and control planes in real networks: squid as a forward proxy, nginx in front."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.certificates import KeyPair
from tests.support.processes import Child, free_port, port_open, wait_until

_START_TIMEOUT = 30.0  # seconds; a machine busy with other tests is slow

_HELPER = """import sys
for line in sys.stdin:
    print("OK" if line.split() == {words!r} else "ERR", flush=True)
"""

_SQUID = """
http_port 127.0.0.1:{port}
pid_filename none
hosts_file {directory}/hosts
access_log stdio:{directory}/access.log
cache_log {directory}/cache.log
cache deny all
cache_mem 8 MB
memory_cache_shared off
netdb_filename none
pinger_enable off
visible_hostname squid.test
shutdown_lifetime 0 seconds
max_filedescriptors 1024
{access}
"""

_WITH_PASSWORD = """
auth_param basic program /usr/bin/env python3 {directory}/helper.py
auth_param basic children 1 startup=1
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""

_NGINX = """
daemon off; master_process off; worker_processes 1;
pid {directory}/nginx.pid; error_log {directory}/nginx.err;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {server.certificate}; ssl_certificate_key {server.key};
    ssl_client_certificate {clients}; ssl_verify_client on;
    location / {{
      proxy_pass http://127.0.0.1:{target};
      proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 120s;
      proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $http_connection;
    }}
  }}
}}
"""


def program(name: str) -> str:
    """Path of a daemon, which Debian installs where only root looks; without it the test is skipped."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return path


class _Daemon:
    """A program with a configuration file in a folder of its own; use as a context manager."""

    def __init__(self) -> None:
        self.port = free_port()
        self._child: Child | None = None

    def _run(self, name: str, argv: Sequence[str | Path], log: Path) -> None:
        self._child = child = Child(name, argv, log=log)
        wait_until(lambda: port_open(self.port), name, timeout=_START_TIMEOUT, children=[child])

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.stop(3)

    def _start(self) -> None:
        raise NotImplementedError


class Squid(_Daemon):
    """A forward proxy on loopback that lets CONNECT pass to anywhere.

    Args:
        hosts: names that only the proxy can resolve; all are this machine.
        user, password: asked for, if given.
    """

    def __init__(self, *hosts: str, user: str = "", password: str = "") -> None:
        super().__init__()
        self._program = program("squid")
        self._hosts = hosts
        self._login = (user, password)
        # squid leaves root behind, so its folder must not be below one that only root may enter.
        self._directory = tempfile.TemporaryDirectory(prefix="pipeops-squid-")
        self.directory = Path(self._directory.name)

    def _start(self) -> None:
        directory = self.directory
        access = "http_access allow all"
        if self._login[0]:
            (directory / "helper.py").write_text(_HELPER.format(words=list(self._login)))
            access = _WITH_PASSWORD.format(directory=directory)
        (directory / "hosts").write_text("".join(f"127.0.0.1 {host}\n" for host in self._hosts))
        configuration = directory / "squid.conf"
        text = _SQUID.format(port=self.port, directory=directory, access=access)
        configuration.write_text(text)
        if os.geteuid() == 0:
            directory.chmod(0o755)
            shutil.chown(directory, "proxy")
        name = f"test{self.port}"  # of its shared memory
        argv = [self._program, "-N", "-n", name, "-f", configuration]
        self._run("squid", argv, directory / "output")

    def url(self, user: str = "", password: str = "") -> str:
        """Its URL, as in HTTPS_PROXY."""
        login = f"{user}:{password}@" if user else ""
        return f"http://{login}127.0.0.1:{self.port}"

    @property
    def asked_for(self) -> list[str]:
        """`CODE TARGET` of every request so far: its access log has one line for each when it has ended."""
        log = self.directory / "access.log"
        if not log.exists():
            return []
        lines = [line.split() for line in log.read_text().splitlines()]
        return [f"{fields[3].rpartition('/')[2]} {fields[6]}" for fields in lines]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._directory.cleanup()


class MutualTls(_Daemon):
    """nginx that takes TLS with a client certificate, and passes on to a cleartext port on loopback."""

    def __init__(self, directory: Path, target: int, server: KeyPair, clients: Path) -> None:
        super().__init__()
        self._program = program("nginx")
        self._directory = directory
        self._fields = {"target": target, "server": server, "clients": clients}

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def _start(self) -> None:
        directory = self._directory
        configuration = directory / "nginx.conf"
        configuration.write_text(_NGINX.format(port=self.port, directory=directory, **self._fields))
        log = directory / "nginx.err"
        self._run("nginx", [self._program, "-e", log, "-c", configuration], log)
