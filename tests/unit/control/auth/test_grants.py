"""Grants and their revocation."""

import pytest

from pipeops.control.auth.grants import Grant
from pipeops.control.store.records import Role
from pipeops.protocol.exchange.principal import Principal


def grant(clusters=None):
    return Grant(Principal("ada", ("dev",), ()), "t1", Role.USER, clusters, None)


def test_revocation_calls_everybody_once():
    calls = []
    held = grant()
    held.on_revoked |= {lambda: calls.append("a"), lambda: calls.append("b")}
    held.revoke()
    held.revoke()
    assert sorted(calls) == ["a", "b"]
    assert not held.valid


def test_a_failing_callback_shields_nobody():
    calls = []

    def fail():
        raise OSError("socket is gone")

    held = grant()
    held.on_revoked |= {fail, lambda: calls.append("a"), lambda: calls.append("b")}
    with pytest.raises(ExceptionGroup):
        held.revoke()
    assert sorted(calls) == ["a", "b"]


def test_callbacks_may_remove_themselves():
    held = grant()

    def close():
        held.on_revoked.discard(close)

    held.on_revoked.add(close)
    held.revoke()


def test_reach_is_all_or_the_list():
    assert grant().may_reach("prod")
    assert grant(frozenset({"prod"})).may_reach("prod")
    assert not grant(frozenset({"prod"})).may_reach("test")
    assert not grant(frozenset()).may_reach("prod")
