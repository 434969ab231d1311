"""The streaming protocols of pods: SPDY/3.1, WebSocket channels, exec and port-forward on either."""
