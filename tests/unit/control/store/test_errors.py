"""Store errors."""

import pytest

from pipeops.control.store.errors import (
    Conflict,
    NotFound,
    StoreError,
    StoreUnavailable,
    StoreUnusable,
)


@pytest.mark.parametrize("kind", [Conflict, NotFound, StoreUnavailable, StoreUnusable])
def test_each_is_a_store_error_with_a_hint(kind):
    error = kind("what", hint="do this")
    assert isinstance(error, StoreError)
    assert (str(error), error.hint, kind("what").hint) == ("what", "do this", "")
