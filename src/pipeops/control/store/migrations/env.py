"""Runs migrations on the connection that `pipeops.control.store.migrate` hands over."""

from alembic import context

from pipeops.control.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most of a table; batch mode copies it instead.
    render_as_batch=True,
)
context.run_migrations()
