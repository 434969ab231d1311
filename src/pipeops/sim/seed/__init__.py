"""What a fresh simulated cluster holds."""

from pipeops.sim.access.agent import AGENT_ACCOUNT, AGENT_NAMESPACE
from pipeops.sim.seed.fill import seed

__all__ = ["AGENT_ACCOUNT", "AGENT_NAMESPACE", "seed"]
