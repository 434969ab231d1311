"""Commands of `pipeops-agent` besides running it; each returns its exit code."""
