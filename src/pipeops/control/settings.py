"""ControlSettings: what the control plane is started with."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeops.control.certificate_settings import CertificateSettings
from pipeops.control.public_settings import PublicSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """Settings of one control plane process; data only.

    Attributes:
        data_dir: database, administrator token; made with mode 0700.
        database_url: SQLAlchemy URL; SQLite in the data directory unless given.
        listen_host: address of the one port for agents, kubectl and the API.
        tls_cert, tls_key: PEM files; both or neither. Without them the port speaks cleartext.
        heartbeat_interval: seconds, told to our agents when they register.
        max_streams: live requests of one agent's lane.
        gateway_url: WebSocket URL that Go agents are sent to after they registered, usually this port's /ws;
            empty: they stay where they registered, which loses fewer features (reference protocol §9.1).
        forward_host: address on which forwarded ports listen; whoever reaches it reaches what is forwarded.
        forward_ports: first and last port of forwards; None: nothing is forwarded.
        max_waiting_mib: MiB kept for slow clients and agents, all together, before new requests are answered with 503.
        certificates: of the public gateway.
        route_hosts: what a cluster needs for a public host that no domain of its own covers: `first-come`, `verified` or `allow-list`.
        name_servers: (address, port) of those that are asked for proofs of domains; empty: the system's.
        public: of the public gateway.
        access_log: write a line for each request.
    """

    data_dir: Path
    database_url: str
    listen_host: str = "127.0.0.1"
    listen_port: int = 8443
    tls_cert: Path | None = None
    tls_key: Path | None = None
    heartbeat_interval: float = 5.0
    max_streams: int = 8192
    gateway_url: str = ""
    forward_host: str = "127.0.0.1"
    forward_ports: tuple[int, int] | None = (15000, 15999)
    max_waiting_mib: int = 512
    certificates: CertificateSettings = field(default_factory=CertificateSettings)
    route_hosts: str = "verified"
    name_servers: tuple[tuple[str, int], ...] = ()
    public: PublicSettings = PublicSettings()  # noqa: RUF009 - frozen
    access_log: bool = True
    log_level: str = "info"
    log_format: str = "auto"

    @property
    def admin_token_file(self) -> Path:
        """Where the first administrator token is written."""
        return self.data_dir / "admin-token"

    @property
    def credential_key_file(self) -> Path:
        """Encrypts the credentials that Go agents register; without it they must register anew."""
        return self.data_dir / "credentials.key"
