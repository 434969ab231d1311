"""JSON control messages: what the two programs tell each other."""
