"""Pages of other sites, and names pointed at us, get nothing; programs and our own page do."""

import pytest

from pipeops.agent.local_api.origins import OriginRule
from tests.unit.agent.local_api.bench import request


def objection(*headers: str, allowed: str = "") -> str | None:
    return OriginRule(allowed.split(",")).objection(request("/ws", *headers).head)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8080", "[::1]:8080", "localhost:8080", "10.2.3.4", "agent", "agent.ns.svc", "agent.ns.svc.cluster.local",
     "host.docker.internal:8080", "box.local."],
)  # fmt: skip
def test_programs_without_an_origin_are_served_under_private_names(host: str) -> None:
    assert objection(f"Host: {host}") is None


@pytest.mark.parametrize(
    "host", ["evil.example.com", "127.0.0.1.evil.example", "agent.svc.evil.com:8080"]
)
def test_a_public_name_pointed_at_us_is_refused(host: str) -> None:
    assert "not known" in (objection(f"Host: {host}") or "")
    assert "not known" in (objection(f"Host: {host}", f"Origin: http://{host}") or "")


def test_the_same_origin_is_allowed() -> None:
    assert objection("Host: localhost:8080", "Origin: http://localhost:8080") is None
    assert objection("Host: localhost:8080", "Origin: https://localhost:8080") is None


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost", "http://localhost:8081", "null", "file://"],
)
def test_other_origins_are_refused(origin: str) -> None:
    assert "may not read" in (objection("Host: localhost:8080", f"Origin: {origin}") or "")


def test_a_browser_says_cross_site_where_it_sends_no_origin() -> None:
    assert objection("Host: localhost", "Sec-Fetch-Site: cross-site")
    assert objection("Host: localhost", "Sec-Fetch-Site: same-site")
    assert objection("Host: localhost", "Sec-Fetch-Site: same-origin") is None
    assert objection("Host: localhost", "Sec-Fetch-Site: none") is None


def test_named_origins_are_allowed_exactly_and_their_host_names_known() -> None:
    allowed = " https://ops.example.com , https://other.example"
    assert objection("Host: x", "Origin: https://ops.example.com", allowed=allowed) is None
    assert objection("Host: x", "Origin: https://OPS.example.com", allowed=allowed)
    assert objection("Host: ops.example.com", allowed=allowed) is None


def test_a_star_allows_all() -> None:
    assert objection("Host: evil.com", "Origin: http://evil.com", allowed="*") is None
