"""The in-cluster agent."""
