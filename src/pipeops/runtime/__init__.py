"""Process-level services that know nothing of tunnels or Kubernetes."""
