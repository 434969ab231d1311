"""Our agent, blind to what our control plane announces: `python -m bench.pipeops_agent [--no-streams] ARGUMENTS`.

It takes any control plane for a PipeOps one; with `--no-streams` it does not multiplex either, as the oldest agents do
not. Nothing stands between the two, so that only the dialect is measured.
"""

import sys

from pipeops.protocol.messages import negotiation

NO_STREAMS = "--no-streams"


def main():
    """Run the agent; what it imports from `negotiation` is blind already."""
    negotiation.parse_features = lambda _: frozenset()
    if NO_STREAMS in sys.argv:
        sys.argv.remove(NO_STREAMS)
        negotiation.GatewayHello.TYPE = "not understood"
    from pipeops.agent.cli import main as agent  # noqa: PLC0415 - only now

    agent()


if __name__ == "__main__":
    sys.exit(main())
