"""Handlers for tunnelled traffic."""
