"""What leaves the cluster of an object's annotations, and what it means."""

import pytest

from pipeops.agent.ingress.annotations import (
    MAX_TOTAL,
    MAX_VALUE,
    deployment,
    guard,
    kept,
    sendable,
)

NGINX = "nginx.ingress.kubernetes.io/"


def test_only_the_allow_list_is_sent() -> None:
    given = {
        "pipeops.io/owner": "o",
        "traefik.ingress.kubernetes.io/router.entrypoints": "web",
        f"{NGINX}ssl-redirect": "true",
        "cert-manager.io/issuer": "le",
        "kubernetes.io/ingress.class": "nginx",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "example.com/secret": "x",
        "pipeops.iox/owner": "x",
    }
    assert set(sendable(given)) == set(list(given)[:5])
    assert sendable(None) == {}


def test_sizes_are_capped() -> None:
    assert sendable({"pipeops.io/a": "x" * MAX_VALUE})
    assert sendable({"pipeops.io/a": "x" * (MAX_VALUE + 1)}) == {}
    assert sendable({"pipeops.io/a": "€" * MAX_VALUE}) == {}
    many = sendable({f"pipeops.io/{number:03}": "x" * 1000 for number in range(100)})
    assert sum(len(name) + len(value) for name, value in many.items()) <= MAX_TOTAL
    assert list(many) == [f"pipeops.io/{number:03}" for number in range(len(many))]
    assert len(many) > 10


def test_snippets_stay_in_the_cluster() -> None:
    assert sendable({f"{NGINX}configuration-snippet": "deny all;"}) == {}


def test_what_is_held_of_an_object_is_small() -> None:
    given = {
        "kubectl.kubernetes.io/last-applied-configuration": "x" * 200_000,
        f"{NGINX}server-snippet": "y" * 200_000,
        "haproxy.org/auth-type": "basic-auth",
    }
    held = kept(given)
    assert held is not None
    assert sum(map(len, held.values())) < 2 * MAX_VALUE
    assert guard(held) == guard(given) != ""
    assert kept({"a": "b"}) is kept(None) is None


@pytest.mark.parametrize(
    ("name", "value", "guarded"),
    [
        (f"{NGINX}auth-url", "https://sso", True),
        (f"{NGINX}auth-type", "basic", True),
        (f"{NGINX}auth-tls-secret", "ns/ca", True),
        (f"{NGINX}whitelist-source-range", "10.0.0.0/8", True),
        (f"{NGINX}whitelist-source-range", "0.0.0.0/0", False),
        (f"{NGINX}enable-global-auth", "false", False),
        (f"{NGINX}configuration-snippet", "deny all;", True),
        ("traefik.ingress.kubernetes.io/router.middlewares", "auth@kubernetescrd", True),
        ("konghq.com/plugins", "jwt", True),
        ("alb.ingress.kubernetes.io/auth-type", "none", False),
        (f"{NGINX}ssl-redirect", "true", False),
        ("pipeops.io/owner", "o", False),
    ],
)
def test_what_guards_a_route(name: str, value: str, guarded: bool) -> None:
    assert guard({name: value}) == (name if guarded else "")
    assert guard(None) == ""


@pytest.mark.parametrize(
    ("annotations", "host", "expected"),
    [
        ({}, "my-app.example.com", ("", "my-app")),
        ({}, "*.apps.test", ("", "apps")),
        ({"pipeops.io/owner": "o"}, "a.test", ("", "o")),
        ({"pipeops.io/owner": "o", "pipeops.io/environment": "e"}, "a.test", ("e:o", "o")),
        ({"pipeops.io/deployment-id": "i", "pipeops.io/deployment-name": "n", "pipeops.io/owner": "o", "pipeops.io/environment": "e"}, "a.test", ("i", "n")),
    ],
)  # fmt: skip
def test_ownership(annotations: dict[str, str], host: str, expected: tuple[str, str]) -> None:
    assert deployment(annotations, host) == expected
