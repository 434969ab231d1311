"""What the agent knows of its cluster: followed objects, counted figures, and who of several replicas counts."""
