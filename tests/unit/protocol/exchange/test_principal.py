"""A principal crosses the tunnel unchanged, and nothing else passes for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.protocol.exchange.principal import Principal, decode_principal, encode_principal


@given(st.text(min_size=1), st.lists(st.text()), st.lists(st.tuples(st.text(), st.text())))
def test_it_survives_the_wire(user: str, groups: list[str], extra: list[tuple[str, str]]) -> None:
    try:
        user.encode()
        "".join([*groups, *(part for pair in extra for part in pair)]).encode()
    except UnicodeEncodeError:
        return
    principal = Principal(user, tuple(groups), tuple(extra))
    assert decode_principal(encode_principal(principal)) == principal


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x93\xa0\x90\x90", b"\x81\xa1a\x01", b"\xc1"])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="principal"):
        decode_principal(data)
