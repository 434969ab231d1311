"""Refusals say what to do."""

from pipeops.control.auth.errors import AuthenticationUnavailable, Unauthenticated


def test_a_refusal_and_an_outage_are_different_things():
    assert not issubclass(AuthenticationUnavailable, Unauthenticated)
    assert Unauthenticated("no", hint="do this").hint == "do this"
    assert "try again" in AuthenticationUnavailable("not now").hint
