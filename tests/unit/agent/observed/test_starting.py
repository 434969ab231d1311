"""An agent is shown as its settings and its state say."""

from datetime import UTC, datetime

from pipeops.agent.observed.starting import observe, settle
from pipeops.agent.settings import AgentSettings
from tests.unit.agent.observed.test_tunnel import Lane

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_settings_and_identity_are_shown() -> None:
    settings = AgentSettings(cluster_name="prod", agent_name="edge", shown_version="v9")
    observed = observe(settings, "10.0.0.1:443", lambda: 0.0, lambda: NOW)
    settle(observed, "a1", "pod-1", "file:/state")
    about = observed.about
    assert (about.agent_id, about.instance, about.name) == ("a1", "pod-1", "edge")
    assert (about.cluster_name, about.version, about.kubernetes) == ("prod", "v9", "10.0.0.1:443")
    assert observed.feature_states()["state_backend"] == "file:/state"


def test_features_follow_what_happens() -> None:
    observed = observe(AgentSettings(), "k", lambda: 0.0, lambda: NOW)
    names = ("portainer_tunnel", "direct_k8s_access", "multi_port_forward", "ingress_sync")
    assert [observed.feature_states()[name] for name in names] == [False] * 4
    observed.tunnel.opened(Lane(0))
    observed.requests.answered(200, 0.0)
    observed.forwards = lambda: [{"name": "x"}]
    observed.gateway.enabled = True
    assert [observed.feature_states()[name] for name in names] == [True] * 4


def test_without_the_tunnel_nothing_of_it_is_on() -> None:
    observed = observe(AgentSettings(tunnel_enabled=False), "k", lambda: 0.0, lambda: NOW)
    observed.tunnel.opened(Lane(0))
    states = observed.feature_states()
    assert not any(states[name] for name in ("portainer_tunnel", "l4_tunnels", "websocket_proxy"))
