"""Certificates of the public gateway, and what is remembered of a certificate authority (ACME)."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "gateway_certificates",
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("chain", sa.LargeBinary, nullable=False),
        sa.Column("sealed_key", sa.LargeBinary, nullable=False),
        sa.Column("directory", sa.Text, nullable=False),
        sa.Column("added_by", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("host", "source", name="pk_gateway_certificates"),
    )
    op.create_table(
        "acme_accounts",
        sa.Column("directory", sa.Text, nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("sealed_key", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("directory", name="pk_acme_accounts"),
    )
    op.create_table(
        "acme_failures",
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("retry_at", sa.Double, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_acme_failures"),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("acme_failures")
    op.drop_table("acme_accounts")
    op.drop_table("gateway_certificates")
