"""The setting `services.allow`."""

import pytest

from pipeops.agent.service_settings import service_list


def test_a_list_that_cannot_be_read_is_an_error() -> None:
    assert service_list("shop/web:80, a/*:*") == ("shop/web:80", "a/*:*")
    assert service_list(["shop/web:80"]) == ("shop/web:80",)
    for bad in ("web", "shop/web", "shop/web:http", "shop/web:80:1", ["/web:1"], "shop/we b:1"):
        with pytest.raises(ValueError, match="shop/web:80"):
            service_list(bad)
