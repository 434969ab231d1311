"""The self-hosted control plane."""
