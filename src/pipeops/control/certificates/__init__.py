"""Certificates of the public gateway: where they come from, which one a client sees, how they are renewed."""
