"""What the control plane remembers: clusters, tokens, settings."""
