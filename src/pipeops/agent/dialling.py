"""How the settings say to dial the control plane: its address, the credentials, the proxy."""

import os
from collections.abc import Mapping

from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.credentials import DialCredentials, TlsFiles
from pipeops.agent.seed.http_client import ControlHttp
from pipeops.agent.settings import AgentSettings
from pipeops.runtime.clock import Clock
from pipeops.runtime.settings import Problem, SettingsError
from pipeops.tunnel.proxy import proxy_for


def control_plane_url(settings: AgentSettings) -> ControlPlaneUrl:
    """Where the control plane is. Raises `SettingsError`."""
    try:
        return ControlPlaneUrl.parse(settings.api_url)
    except ValueError as error:
        raise SettingsError([Problem("pipeops.api_url", "", str(error))]) from error


def dial_credentials(settings: AgentSettings, clock: Clock, *, secure: bool) -> DialCredentials:
    """Token and TLS for the control plane, read anew for each dial. Raises `TlsConfigError`."""
    tls = TlsFiles(
        settings.tls_ca_file,
        settings.tls_cert_file,
        settings.tls_key_file,
        settings.tls_insecure_skip_verify,
    )
    return DialCredentials(
        settings.token, settings.token_file, tls=tls if secure else None, clock=clock
    )


def control_plane_proxy(
    url: ControlPlaneUrl, environment: Mapping[str, str] = os.environ
) -> str | None:
    """The proxy for the control plane, if there is one. Raises `SettingsError`."""
    try:
        return proxy_for(url.websocket, environment)
    except ValueError as error:
        raise SettingsError([Problem("proxy", "environment", str(error))]) from error


def control_plane_http(settings: AgentSettings, clock: Clock) -> ControlHttp:
    """Plain requests to the control plane, with the tunnel's token, certificates and proxy.

    Raises:
        SettingsError, TlsConfigError: see the functions above.
    """
    url = control_plane_url(settings)
    credentials = dial_credentials(settings, clock, secure=url.secure)
    return ControlHttp(
        url,
        credentials.token,
        ssl_context=credentials.ssl_context,
        proxy=control_plane_proxy,
        timeout=settings.timeout,
    )
