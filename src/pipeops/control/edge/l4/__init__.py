"""Kubernetes requests through raw tunnel streams: the control plane speaks TLS with the API server, end to end."""
