"""PipeOps: reach and run Kubernetes clusters that nobody can dial into."""

__version__ = "0.1.0"
