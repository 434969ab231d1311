"""Which public host and path leads to which Service of which cluster."""
