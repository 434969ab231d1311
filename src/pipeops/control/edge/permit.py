"""Permit: what a connection's last request was allowed, so that an identical one need not be judged from the start."""

from dataclasses import dataclass

from pipeops.control.auth.grants import Grant
from pipeops.http1.head import HeaderBlock


@dataclass(slots=True)
class Permit:
    """A verdict on one header block and one cluster.

    It rests on nothing that changes but the token: whoever uses it must find `grant.valid` and the time before
    `until` on every request. Both the block and the clusters of a grant are immutable.

    Attributes:
        block: the header block of the connection it was given for, compared by identity.
        prefix: `/k8s/<cluster>/`, which the target must begin with.
        cluster: the cluster's name.
        until: when the token must be looked at again, in seconds of the loop's clock.
    """

    block: HeaderBlock
    prefix: bytes
    cluster: bytes
    grant: Grant
    until: float
