"""The rule for Impersonate-* headers that a control plane wrote."""

import pytest

from pipeops.agent.json_dialect.impersonation import check_impersonation, check_values
from pipeops.agent.proxy.identity import IdentityRefused, IdentityRule

RULE = IdentityRule()


def test_requests_without_impersonation_are_the_credentials_business() -> None:
    assert check_impersonation([(b"Authorization", b"Bearer t")], RULE) is None


def test_people_and_groups_pass() -> None:
    principal = check_impersonation(
        [
            (b"Impersonate-User", b"ada@example.com"),
            (b"Impersonate-Group", b"pipeops:admins"),
            (b"Impersonate-Group", b"system:authenticated"),
            (b"Impersonate-Extra-Example.Com%2Fscope", b"x"),
            (b"Impersonate-Uid", b"1"),
        ],
        RULE,
    )
    assert principal is not None
    assert principal.user == "ada@example.com"
    assert principal.groups == ("pipeops:admins", "system:authenticated")


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Impersonate-User", b"system:admin")],
        [(b"impersonate_user", b"system:admin")],
        [(b"Impersonate-User", b"ada"), (b"IMPERSONATE-GROUP", b"system:masters")],
        [(b"Impersonate-User", b"")],
        [(b"Impersonate-User", b"system:admin"), (b"Impersonate-User", b"ada")],
        [(b"Impersonate-Group", b"a")],
        [(b"Impersonate-User", b"ada"), (b"Impersonate-Extra-\xff", b"x")],
    ],
)
def test_others_do_not(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(IdentityRefused) as refused:
        check_impersonation(headers, RULE)
    if all(value.isascii() and name.isascii() for name, value in headers):
        names = tuple(name for name, _ in headers)
        for _ in range(2):  # a refusal is not forgotten
            with pytest.raises(IdentityRefused) as again:
                check_values(names, tuple(value.decode() for _, value in headers), RULE)
            assert str(again.value) == str(refused.value)


@pytest.mark.parametrize("size", [1, 3000])
def test_names_and_values_apart_are_the_same(size: int) -> None:
    names, group = (b"Impersonate-User", b"Impersonate-Group"), "g" * size
    headers = [(names[0], b"ada"), (names[1], group.encode())]
    rule = IdentityRule()
    try:
        expected: object = check_impersonation(headers, rule)
    except IdentityRefused as refusal:
        expected = str(refusal)
    try:
        found: object = check_values(names, ("ada", group), rule)
    except IdentityRefused as refusal:
        found = str(refusal)
    assert found == expected
    assert check_values((), (), rule) is None


def test_system_names_pass_where_the_operator_allows_them() -> None:
    check_impersonation([(b"Impersonate-User", b"system:admin")], IdentityRule(allow_system=True))
