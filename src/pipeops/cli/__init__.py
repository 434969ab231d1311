"""The pipeops command line."""
