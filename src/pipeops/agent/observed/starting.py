"""What an agent is observed to be when it starts, and how its features are named."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from pipeops import __version__
from pipeops.agent.observed.agent import About, Observed
from pipeops.agent.settings import AgentSettings


def observe(
    settings: AgentSettings,
    kubernetes: str,
    now: Callable[[], float],
    wall: Callable[[], datetime],
) -> Observed:
    """An Observed of an agent with these settings; `settle` says who it is."""
    about = About(
        name=settings.agent_name,
        cluster_name=settings.cluster_name,
        control_plane=settings.api_url,
        kubernetes=kubernetes,
        version=settings.shown_version or __version__,
    )
    enabled = settings.tunnel_enabled
    observed = Observed(
        now, wall, about=about, tunnel_enabled=enabled, truthful=settings.truthful_readiness_probe
    )
    observed.features |= {
        "portainer_tunnel": lambda: enabled and observed.tunnel.up,
        "multi_port_forward": lambda: bool(observed.forwards()),
        "direct_k8s_access": lambda: observed.requests.api_reachable is True,
        "metrics": lambda: True,
        "health_monitoring": lambda: True,
        "runtime_metrics": lambda: True,
        "feature_version": lambda: __version__,
        "kubernetes_proxy": lambda: settings.kubernetes_proxy,
        "ingress_sync": lambda: observed.gateway.enabled,
        "l4_tunnels": lambda: enabled,
        "monitoring_stack": lambda: False,
        "websocket_proxy": lambda: enabled,
        "state_backend": lambda: "none",
    }
    return observed


def settle(observed: Observed, agent_id: str, instance: str, state_backend: str) -> None:
    """The agent knows who it is and where its state is kept."""
    observed.about = msgspec.structs.replace(observed.about, agent_id=agent_id, instance=instance)
    observed.features["state_backend"] = lambda: state_backend
