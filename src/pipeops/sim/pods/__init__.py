"""What runs in the simulated pods: logs, a toy shell on a memory file system, listening ports."""
