"""From settings to how the control plane is dialled."""

import ssl

import pytest

from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.dialling import (
    control_plane_http,
    control_plane_proxy,
    control_plane_url,
    dial_credentials,
)
from pipeops.agent.settings import AgentSettings
from pipeops.runtime.secrets import Secret
from pipeops.runtime.settings import SettingsError
from tests.support.clock import FakeClock


def settings(url: str = "https://c.test/base", **more: object) -> AgentSettings:
    return AgentSettings(api_url=url, token=Secret("tok"), timeout=7.0, **more)  # type: ignore[arg-type]


def test_the_url_is_parsed_or_named_as_the_setting_that_is_wrong() -> None:
    assert control_plane_url(settings()).secure
    with pytest.raises(SettingsError, match=r"pipeops\.api_url"):
        control_plane_url(settings("ftp://c.test"))


def test_credentials_have_tls_only_where_it_is_used() -> None:
    credentials = dial_credentials(settings(), FakeClock(), secure=True)
    assert credentials.token() == "tok"
    assert isinstance(credentials.ssl_context(), ssl.SSLContext)
    assert dial_credentials(settings(), FakeClock(), secure=False).ssl_context() is None


def test_the_proxy_is_the_environments() -> None:
    url = ControlPlaneUrl.parse("https://c.test")
    assert control_plane_proxy(url, {"HTTPS_PROXY": "http://p:1"}) == "http://p:1"
    assert control_plane_proxy(url, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "c.test"}) is None
    with pytest.raises(SettingsError, match="proxy"):
        control_plane_proxy(url, {"HTTPS_PROXY": "ldap://p:1"})


async def test_plain_requests_use_the_same_url_token_and_time() -> None:
    http = control_plane_http(settings("http://127.0.0.1:1/base"), FakeClock())
    request = http._request("POST", "/x", "127.0.0.1:1", b"{}")
    assert b"Authorization: Bearer tok\r\n" in request
    assert http._timeout == 7.0
    assert http._url.configured == "http://127.0.0.1:1/base"
