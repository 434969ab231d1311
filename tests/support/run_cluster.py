"""Holds a test cluster open for work by hand: `python -m tests.support.run_cluster [--nodes N] [--scheduler]`."""

import argparse
import signal
import sys
import threading

from tests.support.apiserver import ApiServer
from tests.support.programs import find_programs


def main() -> int:
    """Start, print shell variables, and wait for Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--scheduler", action="store_true")
    options = parser.parse_args()
    programs, reason = find_programs()
    if programs is None:
        print(f"no Kubernetes API server: {reason}", file=sys.stderr)
        return 1
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with ApiServer(programs, nodes=options.nodes, scheduler=options.scheduler) as server:
        print(f"export KUBECONFIG={server.admin_kubeconfig}")
        print(f"export AGENT_KUBECONFIG={server.agent_kubeconfig}")
        print(f"export AUDIT_LOG={server.audit_log}")
        print(f"export PATH={server.kubectl.parent}:$PATH", flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
