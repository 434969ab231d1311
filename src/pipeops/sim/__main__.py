"""`python -m pipeops.sim`: a simulated cluster with TLS and kubeconfigs, until a signal ends it."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from pipeops.sim.access.users import User, service_account_user
from pipeops.sim.clock import SystemClock
from pipeops.sim.cluster import ADMIN, SimulatedCluster
from pipeops.sim.seed import AGENT_ACCOUNT, AGENT_NAMESPACE, seed
from pipeops.sim.server import serve
from pipeops.sim.state import Credentials, kubeconfig, write_private

SERVING_NAMES = ["localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default.svc"]


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line; SystemExit 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m pipeops.sim", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--kubeconfig", type=Path, help="where to write the admin's kubeconfig")
    parser.add_argument("--agent-kubeconfig", type=Path, help="the same for the agent's identity")
    parser.add_argument("--state-dir", type=Path, help="keeps CA and tokens across restarts")
    parser.add_argument("--no-tls", action="store_true", help="serve plain HTTP (benchmarks)")
    parser.add_argument("--empty", action="store_true", help="no demo workloads")
    parsed = parser.parse_args(arguments)
    host, _, port = parsed.listen.rpartition(":")
    if not host or not port.isdigit():
        parser.error(f"--listen wants HOST:PORT, not {parsed.listen!r}")
    parsed.host, parsed.port = host.strip("[]"), int(port)
    return parsed


async def run(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    clock = SystemClock()
    credentials = Credentials.load(arguments.state_dir, clock.now())
    tokens: dict[str, User] = {
        credentials.admin_token: ADMIN,
        credentials.agent_token: service_account_user(AGENT_NAMESPACE, AGENT_ACCOUNT),
    }
    cluster = SimulatedCluster(clock=clock, tokens=tokens, signing_key=credentials.signing_key)
    seed(cluster, workloads=not arguments.empty)
    tls = None
    if not arguments.no_tls:
        names = [*SERVING_NAMES, *({arguments.host} - set(SERVING_NAMES))]
        tls = credentials.authority.serving_context(names, clock.now())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    root = credentials.authority.certificate.decode()
    serving = serve(cluster, arguments.host, arguments.port, tls, authority=root)
    async with serving as (host, port):
        shown = f"[{host}]" if ":" in host else host
        server = f"{'https' if tls else 'http'}://{shown}:{port}"
        authority = credentials.authority.certificate if tls else None
        for path, user, token in (
            (arguments.kubeconfig, "admin", credentials.admin_token),
            (arguments.agent_kubeconfig, AGENT_ACCOUNT, credentials.agent_token),
        ):
            if path is not None:
                write_private(path, kubeconfig(server, authority, user, token))
        sys.stdout.write(f"simulated cluster ready at {server}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Entry point; an address in use or an unwritable path ends with one line and exit code 1."""
    arguments = parse_arguments(sys.argv[1:])
    try:
        asyncio.run(run(arguments))
    except OSError as error:
        sys.exit(f"pipeops.sim: cannot serve on {arguments.listen}: {error}")


if __name__ == "__main__":
    main()
