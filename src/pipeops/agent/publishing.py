"""The ingress sync of an agent with these settings, put together: a service, or none where there is nothing to do."""

import os
import random

from pipeops.agent.cluster.leadership import Leadership
from pipeops.agent.ingress.link import ControlPlaneLink
from pipeops.agent.ingress.memory import StoredHosts
from pipeops.agent.ingress.registry import Http, RegistryClient
from pipeops.agent.ingress.rules import Publishing
from pipeops.agent.ingress.sync import IngressSync, Offer, SyncSettings
from pipeops.agent.observed.agent import Observed
from pipeops.agent.settings import AgentSettings
from pipeops.agent.state.keeper import StateKeeper
from pipeops.kube.client import KubeClient
from pipeops.runtime.clock import Clock
from pipeops.runtime.supervisor import Service


def ingress_services(
    settings: AgentSettings,
    client: KubeClient,
    http: Http,
    *,
    keeper: StateKeeper,
    leadership: Leadership,
    offer: Offer,
    observed: Observed,
    clock: Clock,
) -> list[Service]:
    """The service that publishes routes, or that withdraws those of an earlier run after it was switched off."""
    observed.gateway.enabled = settings.enable_ingress_sync
    if not settings.enable_ingress_sync and not keeper.state.gateway_hosts:
        return []
    rng = random.Random(os.urandom(16))  # noqa: S311 - spreads calls, guards nothing
    return [
        IngressSync(
            client,
            RegistryClient(http, observed.gateway, rng=rng),
            ControlPlaneLink(observed.connection),
            leadership,
            StoredHosts(keeper),
            offer,
            sync_settings(settings),
            observed=observed.gateway,
            rng=rng,
            now=clock.monotonic,
        )
    ]


def sync_settings(settings: AgentSettings) -> SyncSettings:
    """What the agent's settings say about publishing."""
    return SyncSettings(
        enabled=settings.enable_ingress_sync,
        refresh=settings.route_refresh_interval,
        publishing=Publishing(
            managed_only=settings.route_scope == "managed",
            classes=frozenset(settings.ingress_classes),
            hostless=settings.hostless_routes,
            through_controller=settings.route_target == "controller",
        ),
        ingress_service=settings.ingress_service,
        routing_mode="tunnel" if settings.force_tunnel_mode else settings.routing_mode,
        public_endpoint=settings.public_endpoint,
    )
