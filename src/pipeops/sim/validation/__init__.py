"""The mistakes that the API server refuses with 422."""
