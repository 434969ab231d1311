"""HTTP/1.1 heads, body framing and TLS contexts for both programs."""
