"""Routes of the public gateway, the hosts that clusters hold, and the domains they may use."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "routes",
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("path_type", sa.Text, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("tls", sa.Boolean, nullable=False),
        sa.Column("ingress", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("public_endpoint", sa.Text, nullable=False),
        sa.Column("annotations", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("cluster_id", "host", "path", "path_type", name="pk_routes"),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["clusters.id"], name="fk_routes_cluster_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "route_hosts",
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_route_hosts"),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["clusters.id"], name="fk_route_hosts_cluster_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "domains",
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("granted_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("domain", "cluster_id", name="pk_domains"),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["clusters.id"], name="fk_domains_cluster_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("domains")
    op.drop_table("route_hosts")
    op.drop_table("routes")
