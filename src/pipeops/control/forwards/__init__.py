"""Ports of the control plane that lead into clusters."""
