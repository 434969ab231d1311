"""Connected agents: who is here, by which lanes."""
