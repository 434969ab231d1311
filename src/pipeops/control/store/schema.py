"""Tables, as SQLAlchemy Core objects; migrations bring a database to this shape.

Times are double precision seconds since 1970: the same on SQLite and PostgreSQL, with no time zones to lose.
"""

import sqlalchemy as sa

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = sa.MetaData(naming_convention=NAMING)

clusters = sa.Table(
    "clusters",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("agent_id", sa.Text),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("last_seen_at", sa.Double),
    sa.Column("facts", sa.JSON(none_as_null=True)),
)

# A token is 256 random bits, so its SHA-256 needs neither salt nor stretching: there is no
# dictionary to try, and an unsalted digest can be looked up by an index.
cluster_tokens = sa.Table(
    "cluster_tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column(
        "cluster_id",
        sa.Text,
        sa.ForeignKey("clusters.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("token_hash", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double),
    sa.Column("revoked_at", sa.Double),
    sa.Column("last_used_at", sa.Double),
)

# The credential for a cluster's API that a Go agent registered; encrypted before it comes here.
cluster_credentials = sa.Table(
    "cluster_credentials",
    metadata,
    sa.Column(
        "cluster_id",
        sa.Text,
        sa.ForeignKey("clusters.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
)

# A port belongs to its forward for as long as the forward exists: it is in people's connection strings.
forwards = sa.Table(
    "forwards",
    metadata,
    sa.Column(
        "cluster_id",
        sa.Text,
        sa.ForeignKey("clusters.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("protocol", sa.Text, nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("by_agent", sa.Boolean, nullable=False),
    sa.Column("inactivity", sa.Double, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.UniqueConstraint("protocol", "port"),
)

# What a cluster asked for, whether or not it may have it: the host decides that.
routes = sa.Table(
    "routes",
    metadata,
    sa.Column(
        "cluster_id",
        sa.Text,
        sa.ForeignKey("clusters.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("path_type", sa.Text, primary_key=True),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("tls", sa.Boolean, nullable=False),
    sa.Column("ingress", sa.Text, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("public_endpoint", sa.Text, nullable=False),
    sa.Column("annotations", sa.JSON, nullable=False),
)

# The key is what keeps two clusters, and two replicas of the control plane, from holding one host.
route_hosts = sa.Table(
    "route_hosts",
    metadata,
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column(
        "cluster_id",
        sa.Text,
        sa.ForeignKey("clusters.id", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column("used_at", sa.Double, nullable=False),
)

domains = sa.Table(
    "domains",
    metadata,
    sa.Column("domain", sa.Text, primary_key=True),
    sa.Column(
        "cluster_id",
        sa.Text,
        sa.ForeignKey("clusters.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("granted_by", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
)

# Of the public gateway; private keys are encrypted before they come here.
gateway_certificates = sa.Table(
    "gateway_certificates",
    metadata,
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("chain", sa.LargeBinary, nullable=False),
    sa.Column("sealed_key", sa.LargeBinary, nullable=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("added_by", sa.Text, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
)

acme_accounts = sa.Table(
    "acme_accounts",
    metadata,
    sa.Column("directory", sa.Text, primary_key=True),
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("sealed_key", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
)

# What went wrong with a host's orders; kept over restarts, because a CA counts failures, too.
acme_failures = sa.Table(
    "acme_failures",
    metadata,
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("retry_at", sa.Double, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
)

user_tokens = sa.Table(
    "user_tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("token_hash", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("user_name", sa.Text, nullable=False),
    sa.Column("groups", sa.JSON, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("clusters", sa.JSON(none_as_null=True)),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double),
    sa.Column("revoked_at", sa.Double),
    sa.Column("last_used_at", sa.Double),
)

settings = sa.Table(
    "settings",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
