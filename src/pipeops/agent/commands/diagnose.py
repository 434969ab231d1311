"""`diagnose`: carries out all checks and says what to do."""

import asyncio
import os
import ssl
import sys
from collections.abc import Mapping, Sequence

from pipeops.agent import app, dialling
from pipeops.agent.commands.arguments import parse, settings_parser
from pipeops.agent.commands.config import refuse
from pipeops.agent.diagnose.cluster import ClusterChecks
from pipeops.agent.diagnose.control_plane import ControlPlaneChecks
from pipeops.agent.diagnose.report import (
    SECONDS,
    Check,
    Finding,
    Part,
    as_json,
    carry_out,
    exit_code,
    lines,
)
from pipeops.agent.policy.source import ConfigMapSource, FileSource, PolicyWatch, Source
from pipeops.agent.settings import AgentSettings, load_settings
from pipeops.errors import PipeOpsError
from pipeops.kube.client import KubeClient
from pipeops.kube.config import NO_CLUSTER
from pipeops.runtime.clock import Clock
from pipeops.runtime.settings import Loaded, SettingsError


def diagnose(argv: Sequence[str]) -> int:
    """Exit code 0 if nothing failed, 1 if something did, 2 if the settings cannot be used."""
    parser = settings_parser(
        "diagnose", "Checks the ways to the control plane and to the cluster. Changes nothing."
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form")
    flags, config, own = parse(parser, argv, "output")
    try:
        loaded = load_settings(flags, config=config, standard_input=sys.stdin, needs_token=False)
        checks = all_checks(loaded, os.environ)
    except SettingsError as error:
        return refuse(error)
    text = own["output"] == "text"
    findings = asyncio.run(_all(checks, text=text))
    if not text:
        print(as_json(findings))
    return exit_code(findings)


async def _all(checks: Sequence[Check], *, text: bool) -> list[Finding]:
    terminal = text and sys.stdout.isatty()

    def begin(name: str) -> None:
        if terminal:
            print(f"\r\x1b[K...   {name}", end="", flush=True)

    def tell(finding: Finding) -> None:
        if text:
            print(("\r\x1b[K" if terminal else "") + "\n".join(lines(finding)), flush=True)

    return await carry_out(checks, begin=begin, tell=tell, seconds=SECONDS)


def all_checks(loaded: Loaded[AgentSettings], environment: Mapping[str, str]) -> list[Check]:
    """Return every check for these settings, in order.

    Raises:
        SettingsError: the URL of the control plane or of the proxy makes no sense.
    """
    settings, clock = loaded.settings, Clock()

    async def about_settings() -> Sequence[Part]:
        parts = [Part("ok", f"file {loaded.file or 'none'}, {len(loaded.origins)} set")]
        return parts + [Part("warn", line, about="advice") for line in loaded.warnings]

    url = dialling.control_plane_url(settings)

    def context() -> ssl.SSLContext | None:
        return dialling.dial_credentials(settings, clock, secure=url.secure).ssl_context()

    checks = [Check("settings", about_settings)]
    checks += _policy_check(settings)
    checks += ControlPlaneChecks(
        url,
        settings.token.reveal,
        context,
        dialling.control_plane_proxy(url, environment),
        clock.now,
    ).checks()
    return checks + _cluster_checks(settings, clock)


def _cluster_checks(settings: AgentSettings, clock: Clock) -> list[Check]:
    try:
        access = app.cluster_access(settings, clock)
    except PipeOpsError as error:
        return [_no_access(str(error))]
    if access.origin == NO_CLUSTER:
        return [_no_access("this is no pod, and there is no kubeconfig")]
    client = KubeClient(access, timeout=SECONDS)
    checks = ClusterChecks(access, client, namespace=settings.namespace, now=clock.now).checks()
    if settings.policy_config_map:
        checks.append(_policy(ConfigMapSource(settings.policy_config_map, client)))
    return checks


def _no_access(reason: str) -> Check:
    async def tell() -> Sequence[Part]:
        return [Part("fail", reason, "run in a pod, or give --kubeconfig")]

    return Check("cluster access", tell)


def _policy_check(settings: AgentSettings) -> list[Check]:
    return [_policy(FileSource(settings.policy_file))] if settings.policy_file else []


def _policy(source: Source) -> Check:
    async def policy() -> Sequence[Part]:
        await PolicyWatch.start(source)
        return [Part("ok", source.place)]

    return Check("policy", policy, "`pipeops-agent policy test` shows what a file allows")
