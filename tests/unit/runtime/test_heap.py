"""The allocator setting is taken where there is glibc, and harmless elsewhere."""

import ctypes

import pytest

from pipeops.runtime import heap
from pipeops.runtime.process import resident_bytes


def test_the_setting_is_made_or_declined_without_an_error() -> None:
    assert heap.keep_freed_memory() is hasattr(ctypes.CDLL(None), "mallopt")


def test_freed_memory_goes_back() -> None:
    assert heap.release_memory() in {True, False}
    kept = [bytes(1000) for _ in range(20_000)]
    kept[:] = kept[::4]  # holes, not the heap's end
    before = resident_bytes()
    heap.release_memory()
    assert resident_bytes() <= before
    assert len(kept) == 5000


def test_another_c_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert heap.keep_freed_memory() is False
    assert heap.release_memory() is False
