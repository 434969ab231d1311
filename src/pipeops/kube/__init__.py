"""The part of the Kubernetes API we use: configuration, credentials, client."""
