"""Grants: what a valid token allows, for as long as it is valid."""

from collections.abc import Callable

from pipeops.control.store.records import Role
from pipeops.protocol.exchange.principal import Principal, encode_principal


class Revocable:
    """Something that a live connection holds and that revocation ends.

    Attributes:
        token_id: Id of the token it came from.
        expires_at: Wall-clock seconds after which it no longer counts; None means never.
        trusted_until: When the token has to be looked up again, in monotonic seconds; the cache keeps it.
        valid: Turned off once, by revocation or expiry, and never on again.
        on_revoked: Called once each, without arguments, when `valid` is turned off. A connection
            adds a callback that closes it and discards the callback when it ends by itself. Callbacks must not await.
    """

    __slots__ = ("__weakref__", "expires_at", "on_revoked", "token_id", "trusted_until", "valid")

    def __init__(self, token_id: str, expires_at: float | None) -> None:
        self.token_id = token_id
        self.expires_at = expires_at
        self.trusted_until = 0.0
        self.valid = True
        self.on_revoked: set[Callable[[], None]] = set()

    def revoke(self) -> None:
        """Turn `valid` off and end what hangs on it; a second call does nothing.

        Raises:
            ExceptionGroup: Callbacks failed; all of them have been called.
        """
        if not self.valid:
            return
        self.valid = False
        callbacks = tuple(self.on_revoked)
        self.on_revoked.clear()
        errors: list[Exception] = []
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # noqa: BLE001 - one broken connection must not shield the others
                errors.append(error)
        if errors:
            raise ExceptionGroup("closing connections of a revoked token", errors)


class Grant(Revocable):
    """What a user token allows.

    Attributes:
        principal: Whom to impersonate in clusters.
        encoded: The principal as stream heads carry it, made once.
        user: Its user name as bytes, for logs.
        role: What it may do at the operators' API.
        clusters: Names of the clusters it may reach; None means all.
    """

    __slots__ = ("clusters", "encoded", "principal", "role", "user")

    def __init__(
        self,
        principal: Principal,
        token_id: str,
        role: Role,
        clusters: frozenset[str] | None,
        expires_at: float | None,
    ) -> None:
        super().__init__(token_id, expires_at)
        self.principal = principal
        self.encoded = encode_principal(principal)
        self.user = principal.user.encode()
        self.role = role
        self.clusters = clusters

    def may_reach(self, cluster: str) -> bool:
        """Whether the cluster of this name is within the grant."""
        return self.clusters is None or cluster in self.clusters


class ClusterGrant(Revocable):
    """What a cluster token allows: being the agent of exactly this cluster."""

    __slots__ = ("cluster_id", "cluster_name")

    def __init__(
        self, cluster_id: str, cluster_name: str, token_id: str, expires_at: float | None
    ) -> None:
        super().__init__(token_id, expires_at)
        self.cluster_id = cluster_id
        self.cluster_name = cluster_name
