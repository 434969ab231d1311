"""Alembic environment of the control plane's store."""
