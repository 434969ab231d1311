"""The allocator setting is taken where there is glibc, and harmless elsewhere."""

import ctypes

import pytest

from pipeops.runtime import heap


def test_the_setting_is_made_or_declined_without_an_error() -> None:
    assert heap.keep_freed_memory() is hasattr(ctypes.CDLL(None), "mallopt")


def test_another_c_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert heap.keep_freed_memory() is False
