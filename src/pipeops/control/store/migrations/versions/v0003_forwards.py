"""Ports that the control plane listens on for clusters."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "forwards",
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("by_agent", sa.Boolean, nullable=False),
        sa.Column("inactivity", sa.Double, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("cluster_id", "name", name="pk_forwards"),
        sa.UniqueConstraint("protocol", "port", name="uq_forwards_protocol"),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["clusters.id"], name="fk_forwards_cluster_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("forwards")
