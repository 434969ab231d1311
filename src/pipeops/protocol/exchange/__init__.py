"""One tunnelled request or connection, whatever carries it."""
