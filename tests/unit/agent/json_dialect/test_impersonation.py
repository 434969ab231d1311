"""The rule for Impersonate-* headers that a control plane wrote."""

import pytest

from pipeops.agent.json_dialect.impersonation import check_impersonation
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
    with pytest.raises(IdentityRefused):
        check_impersonation(headers, RULE)


def test_system_names_pass_where_the_operator_allows_them() -> None:
    check_impersonation([(b"Impersonate-User", b"system:admin")], IdentityRule(allow_system=True))
