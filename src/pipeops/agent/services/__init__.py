"""HTTP to Services of the cluster: which may be reached, how their ports speak, and the connections to them."""
