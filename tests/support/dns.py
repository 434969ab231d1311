"""A name server on loopback that serves TXT records from a dictionary."""

import socket
import threading
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer:
    """UDP, in a thread of its own, for the length of a `with` block.

    Attributes:
        address: where it listens.
        records: TXT values by name, `|` between their strings; other names do not exist.
        asked: the names in the order of the questions.
        silent: answers nothing.
        rcode: answers everything with this code.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.silent = False
        self.rcode: dns.rcode.Rcode | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address)  # wakes the thread, which ends on an empty datagram
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(4096)
            if not question:
                return
            answer = self._answer(dns.message.from_wire(question))
            if not self.silent:
                self._socket.sendto(answer.to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        name = query.question[0].name
        text = name.to_text(omit_final_dot=True)
        self.asked.append(text)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        values = self.records.get(text)
        if self.rcode is not None or values is None:
            answer.set_rcode(self.rcode or dns.rcode.NXDOMAIN)
        elif values:
            quoted = [" ".join(f'"{part}"' for part in value.split("|")) for value in values]
            answer.answer.append(dns.rrset.from_text(name, 1, "IN", "TXT", *quoted))
        return answer
