"""Limits with which a session could stall are refused."""

import pytest

from pipeops.protocol.limits import KIB, MIB, Limits


def test_native_windows_grow_and_compatible_ones_do_not():
    assert Limits().initial_window == 256 * KIB
    assert Limits().max_window == 16 * MIB
    assert Limits.compatible().max_window == 256 * KIB
    assert Limits.compatible().acknowledge_at_once
    assert Limits.compatible().finish_alone


def test_compatible_windows_may_grow_as_far_as_negotiated():
    assert Limits.compatible(max_window=MIB).max_window == MIB


def test_any_limits_can_be_turned_towards_a_hashicorp_peer():
    limits = Limits(max_streams=7).towards_hashicorp()
    assert limits.acknowledge_at_once
    assert limits.finish_alone
    assert limits.max_streams == 7
    assert limits.max_window == 16 * MIB


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial_window": 0},
        {"initial_window": 2 * MIB, "max_window": MIB},
        {"max_window": 4 * 1024 * MIB},
        {"low_water": 10, "high_water": 10},
        {"low_water": -1},
        {"quantum": 0},
        {"batch_bytes": 0},
        {"max_frame": 0},
        {"max_streams": 0},
        {"keepalive_timeout": 61.0},
    ],
)
def test_contradictions_are_refused(wrong):
    with pytest.raises(ValueError, match=r"window|water|must"):
        Limits(**wrong)


def test_what_a_go_peer_wants_its_windows_to_be_stays_within_ours():
    assert Limits().towards_hashicorp(window=1 << 20).accept_window == 1 << 20
    assert Limits().towards_hashicorp(window=1 << 40).accept_window == Limits().max_window
    with pytest.raises(ValueError, match="accept_window"):
        Limits(accept_window=1 << 40)
