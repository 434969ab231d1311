"""A simulated Kubernetes cluster, good enough for stock kubectl."""
