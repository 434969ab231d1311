"""The control plane's end of the PipeOps dialect: requests to agents that add no identity themselves."""
