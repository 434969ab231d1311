"""The public gateway: hosts and paths of registered routes, answered by Services of clusters."""
