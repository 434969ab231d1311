"""The agent's Prometheus metrics: definitions, each with where its value comes from, and their text format."""
