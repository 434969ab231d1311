"""What the served kinds look like: a compact table of types, and what is derived from it."""
