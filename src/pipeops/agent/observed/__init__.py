"""What is true of the running agent: told synchronously by its parts, read by endpoints and metrics."""
