"""HTTP/2 with clients of the public gateway: every stream becomes a request like those of HTTP/1.1."""
