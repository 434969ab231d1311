"""The agent's local HTTP server: probes and status, nothing privileged."""
