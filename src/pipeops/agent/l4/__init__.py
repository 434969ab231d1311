"""TCP and UDP through the tunnel, at the agent: sockets inside the cluster on one side, streams or messages on the other."""
