"""Whom the agent impersonates: never a system name, never an unprintable one, whatever the control plane says."""

import pytest

from pipeops.agent.proxy.identity import MAX_GROUPS, IdentityRefused, IdentityRule
from pipeops.protocol.exchange.principal import Principal


@pytest.mark.parametrize(
    "principal",
    [
        Principal("system:admin"),
        Principal("a", ("system:masters",)),
        Principal("a", ("ok", "system:nodes")),
        Principal("a\r\nImpersonate-Group: system:masters"),
        Principal("a", ("b\n",)),
        Principal(" a"),
        Principal("a", ("",)),
        Principal("a", tuple(f"g{i}" for i in range(MAX_GROUPS + 1))),
        Principal("a", (), (("Bad Key", "x"),)),
        Principal("a", (), (("key", "x\r\ny"),)),
        Principal("a" * 2000),
    ],
)
def test_it_refuses(principal: Principal) -> None:
    with pytest.raises(IdentityRefused):
        IdentityRule().check(principal)


def test_system_names_pass_only_where_the_operator_of_the_agent_said_so() -> None:
    IdentityRule(allow_system=True).check(Principal("system:admin", ("system:masters",)))


def test_headers_name_user_groups_and_extra() -> None:
    rule = IdentityRule()
    principal = Principal("ann", ("dev", "system:authenticated"), (("pipeops.io/session", "s"),))
    rule.check(principal)
    assert rule.headers(principal) == (
        b"Impersonate-User: ann\r\nImpersonate-Group: dev\r\nImpersonate-Extra-pipeops.io%2fsession: s\r\n"
    )


def test_sixty_groups_fit() -> None:
    """threats.md S-31."""
    groups = tuple(f"team-{i:02}-with-a-longish-name" for i in range(60))
    principal = Principal("ann", groups)
    IdentityRule().check(principal)
    assert IdentityRule().headers(principal).count(b"Impersonate-Group") == 60
