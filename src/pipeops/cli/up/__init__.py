"""`pipeops up`: everything on this machine, as supervised child processes."""
