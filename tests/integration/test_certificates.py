"""Certificates of a real control plane process: ordered, uploaded, kept over restarts, never shown with their keys."""

import json
import time

import pytest

from tests.support.certificates import Authority
from tests.support.pebble import Pebble
from tests.support.processes import free_port, wait_until
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.go]

PATH = "/api/v1/certificates"


@pytest.fixture(scope="module")
def pebble(tmp_path_factory):
    server = Pebble(tmp_path_factory.mktemp("pebble"), free_port())
    yield server
    server.close()


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "certificates"
    folder.mkdir()
    return folder


@pytest.fixture
def stack(tmp_path, pebble, files):
    arguments = (
        "--certificate-dir", str(files), "--default-certificate", "fallback",
        "--acme-directory", pebble.directory_url, "--acme-ca-file", str(pebble.ca_file), "--acme-accept-terms",
        "--acme-host", "*.apps.example.com", "--acme-dns-hook", str(pebble.hook()), "--acme-dns-wait", "0",
        "--log-level", "debug", "--log-format", "json",
    )  # fmt: skip
    with Stack(tmp_path / "stack", control_args=arguments) as running:
        yield running


def listing(stack):
    status, body = stack.request("GET", PATH, token=stack.admin_token)
    assert status == 200, body
    return body


def wait_for(stack, host, source):
    def found():
        return any(
            (one["host"], one["source"]) == (host, source) for one in listing(stack)["items"]
        )

    wait_until(found, f"the certificate of {host}", timeout=60, children=[stack.control])
    return next(one for one in listing(stack)["items"] if one["host"] == host)


def log_lines(stack):
    return [
        json.loads(line)
        for line in stack.control.log.read_text().splitlines()
        if line.startswith("{")
    ]


def test_certificates_from_everywhere_live_through_a_restart(stack, files, tmp_path):
    authority = Authority(tmp_path / "ca")
    ordered = wait_for(stack, "*.apps.example.com", "acme")
    assert ordered["issuer"].startswith("Pebble")
    assert ordered["renews_at"] < ordered["not_after"]
    pair = authority.server("up", "*.up.example.com")
    body = {"certificate": pair.certificate.read_text(), "key": pair.key.read_text()}
    target = f"{PATH}/%2A%2Eup%2Eexample%2Ecom"
    status, answer = stack.request("PUT", target, body, token=stack.admin_token)
    assert (status, answer["host"]) == (200, "*.up.example.com")
    filed = authority.server("fallback", "fallback.example.com")
    (files / "fallback.key").write_bytes(filed.key.read_bytes())
    (files / "fallback.crt").write_bytes(filed.certificate.read_bytes())
    wait_for(stack, "fallback", "file")
    began = time.monotonic()
    stack.control.stop()
    assert stack.control.exit_code == 0
    assert time.monotonic() - began < 8
    stack.start_control()
    wait_for(stack, "*.up.example.com", "upload")
    again = wait_for(stack, "*.apps.example.com", "acme")
    assert again["fingerprint_sha256"] == ordered["fingerprint_sha256"]
    assert listing(stack)["orders"] == listing(stack)["problems"] == []
    assert stack.request("DELETE", target, token=stack.admin_token)[0] == 200
    assert [one["host"] for one in listing(stack)["items"]] == ["*.apps.example.com", "fallback"]
    lines = log_lines(stack)
    assert [one["host"] for one in lines if one["msg"] == "certificate issued"] == [
        "*.apps.example.com"
    ]
    assert sum(one["msg"] == "ACME account made" for one in lines) == 1


def test_no_key_is_in_a_log_or_in_the_database(stack, tmp_path):
    wait_for(stack, "*.apps.example.com", "acme")
    pair = Authority(tmp_path / "ca").server("a", "a.example.com")
    body = {"certificate": pair.certificate.read_text(), "key": pair.key.read_text()}
    stack.request("PUT", f"{PATH}/a.example.com", body, token=stack.admin_token)
    stack.request("PUT", f"{PATH}/b.example.com", body, token=stack.admin_token)
    stack.control.stop()
    secret = pair.key.read_text().splitlines()[1]
    seen = [path for path in (tmp_path / "stack").rglob("*") if path.is_file()]
    assert any(path.name == "pipeops.db" for path in seen)
    for path in seen:
        if "pki" not in path.parts:
            content = path.read_bytes()
            assert secret.encode() not in content, path
            assert b"PRIVATE KEY" not in content, path
