"""Fixtures of the integration tests."""

import pytest

pytest.register_assert_rewrite("tests.support.kubectl_flows")

from tests.support.fixtures import apiserver, namespace  # noqa: E402 - after the line above

__all__ = ["apiserver", "namespace"]
