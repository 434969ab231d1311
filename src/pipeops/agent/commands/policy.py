"""`policy test`: would the cluster's policy allow this request, and by which rule?"""

import asyncio
import sys
from collections.abc import Sequence

import msgspec

from pipeops.agent.commands.arguments import parse, settings_parser
from pipeops.agent.commands.config import refuse
from pipeops.agent.policy.request import Unreadable, read
from pipeops.agent.policy.rules import Decision, Policy, User
from pipeops.agent.policy.source import ConfigMapSource, FileSource, read_policy
from pipeops.agent.settings import AgentSettings, load_settings
from pipeops.errors import PipeOpsError
from pipeops.runtime.settings import SettingsError

_EPILOG = """\
  pipeops-agent policy test --policy-file policy.yaml --user ann --group dev GET /api/v1/secrets
  pipeops-agent policy test --policy-file policy.yaml SERVICE team-a/web:80

Exit codes: 0 allowed, 1 forbidden or no usable policy, 2 wrong arguments.
"""


def test(argv: Sequence[str]) -> int:
    """Say whether the request would be allowed, by which rule; 0 allowed, 1 forbidden."""
    parser = settings_parser(
        "policy test", "Asks the policy about one request; nothing is sent.", _EPILOG
    )
    parser.add_argument("--user", help="who asks; not known to the policy if not given")
    parser.add_argument(
        "--group", action="append", default=[], help="a group of theirs; repeatable"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form")
    parser.add_argument("method", metavar="METHOD", help="GET, POST, …, or SERVICE")
    parser.add_argument("path", metavar="PATH", help="path and query, or namespace/name:port")
    flags, config, own = parse(parser, argv, "user", "group", "output", "method", "path")
    try:
        settings = load_settings(flags, config=config, needs_token=False).settings
    except SettingsError as error:
        return refuse(error)
    user = User(own["user"] or "", tuple(own["group"]), known=own["user"] is not None)
    try:
        decision, what = judge(_policy(settings), own["method"], own["path"], user)
    except PipeOpsError as error:
        print(f"pipeops-agent: {error}", file=sys.stderr)
        return 1
    if own["output"] == "json":
        answer = {
            "allowed": decision.allowed,
            "rule": decision.rule,
            "reason": decision.reason,
            "request": what,
        }
        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        rule = f"rule {decision.rule!r}" if decision.rule else "no rule"
        print(f"{'allowed' if decision.allowed else 'forbidden'}: {what}")
        print(f"  by {rule}: {decision.reason}")
    return 0 if decision.allowed else 1


def judge(policy: Policy, method: str, path: str, user: User) -> tuple[Decision, str]:
    """Return the decision about a request and what the request was understood to be."""
    if method.upper() == "SERVICE":
        namespace, _, rest = path.partition("/")
        name, _, port = rest.rpartition(":")
        decision = policy.decide_service(namespace, name, int(port) if port.isdecimal() else 0)
        return decision, f"connection to Service {path}"
    try:
        request = read(method.upper().encode(), path.encode())
    except Unreadable as error:
        return Decision(False, "path", str(error)), f"{method.upper()} {path}"
    return policy.decide(request, user), str(request)


def _policy(settings: AgentSettings) -> Policy:
    """Read the policy these settings name. Raises `PipeOpsError`."""
    if settings.policy_file:
        source: FileSource | ConfigMapSource = FileSource(settings.policy_file)
    elif settings.policy_config_map:
        # Imported here: a policy in a file is asked without a cluster.
        from pipeops.agent.app import cluster_access  # noqa: PLC0415
        from pipeops.kube.client import KubeClient  # noqa: PLC0415
        from pipeops.runtime.clock import Clock  # noqa: PLC0415

        client = KubeClient(cluster_access(settings, Clock()), timeout=settings.kube_timeout)
        source = ConfigMapSource(settings.policy_config_map, client)
    else:
        raise PipeOpsError("no policy is set: give --policy-file, or policy.config_map")
    return read_policy(asyncio.run(source.read()), source.place)
