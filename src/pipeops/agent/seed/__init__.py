"""Control planes of the first agents' time: registration and heartbeats by HTTP, a tunnel of bare JSON frames."""
