"""Ingress sync: the cluster's Ingresses and Gateway API routes, kept registered with the control plane's public gateway."""
