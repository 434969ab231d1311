"""Values that the API server fills in where a client leaves them out."""
