"""DnsLookup: TXT records from the system's name servers, or from those that are configured."""

from collections.abc import Collection, Sequence

from pipeops.control.routes.proofs import LookupFailed

TIMEOUT = 2.5  # seconds for all attempts; an agent's request may wait for it
MAX_RECORDS = 100


class DnsLookup:
    """A `TxtLookup`. Answers are not kept: a record that was just published counts at once.

    Args:
        servers: (address, port) of name servers; empty: those of the system.
    """

    def __init__(self, servers: Sequence[tuple[str, int]] = ()) -> None:
        self._servers = tuple(servers)

    async def texts(self, name: str) -> Collection[str]:
        """TxtLookup: ask; a name that does not exist has no records.

        Raises:
            LookupFailed: no server answers, or the answer is unusable.
        """
        # A tenth of a second of imports that most control planes never need.
        import dns.asyncresolver  # noqa: PLC0415
        import dns.exception  # noqa: PLC0415
        import dns.nameserver  # noqa: PLC0415
        import dns.resolver  # noqa: PLC0415

        try:
            resolver = dns.asyncresolver.Resolver(configure=not self._servers)
            if self._servers:
                resolver.nameservers = [
                    dns.nameserver.Do53Nameserver(address, port) for address, port in self._servers
                ]
            answer = await resolver.resolve(name, "TXT", lifetime=TIMEOUT, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise LookupFailed(f"{name} cannot be looked up: {error}") from error
        return [
            b"".join(record.strings).decode("utf-8", "replace")
            for record in list(answer)[:MAX_RECORDS]
        ]
