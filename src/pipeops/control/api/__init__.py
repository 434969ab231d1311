"""The operators' JSON API."""
