"""HTTP/1.1 that the gateway itself speaks: to load balancers of public clusters, and to Services through Go agents."""
