"""Many streams on one ordered byte channel (yamux wire format)."""
