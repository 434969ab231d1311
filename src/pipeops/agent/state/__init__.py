"""What the agent remembers between runs, in the same places and under the same names as the Go agents."""
