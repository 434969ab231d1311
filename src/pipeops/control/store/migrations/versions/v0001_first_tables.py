"""Clusters, cluster tokens, user tokens, settings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "clusters",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("last_seen_at", sa.Double),
        sa.Column("facts", sa.JSON(none_as_null=True)),
        sa.PrimaryKeyConstraint("id", name="pk_clusters"),
        sa.UniqueConstraint("name", name="uq_clusters_name"),
    )
    op.create_table(
        "cluster_tokens",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("cluster_id", sa.Text, nullable=False),
        *_token_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_cluster_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_cluster_tokens_token_hash"),
        sa.ForeignKeyConstraint(
            ["cluster_id"],
            ["clusters.id"],
            name="fk_cluster_tokens_cluster_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_cluster_tokens_cluster_id", "cluster_tokens", ["cluster_id"])
    op.create_table(
        "user_tokens",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("clusters", sa.JSON(none_as_null=True)),
        *_token_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_user_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_user_tokens_token_hash"),
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_settings"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("settings", "user_tokens", "cluster_tokens", "clusters"):
        op.drop_table(table)


def _token_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
        sa.Column("last_used_at", sa.Double),
    ]
