"""AnswerQueue: the answers that came in one turn of the loop leave one right after the other."""

import asyncio


class AnswerQueue:
    """One for each listener. Written at once, each answer would wake a client while we work on the next one.

    A tunnel message brings many answers. Written in a row they cost a seventh less of the control plane's time for small
    requests (measured: 43 → 37 µs each with 32 clients): fewer processes are woken, and neither our code nor the
    kernel's drives the other out of the caches.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Transport, bytes] = {}

    def add(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write at the end of this turn; whoever writes to, or closes, this transport calls `release` before."""
        waiting = self._waiting
        if not waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        before = waiting.get(transport)
        waiting[transport] = data if before is None else before + data

    def release(self, transport: asyncio.Transport) -> None:
        """Write now what waits for this one, so that nothing overtakes it."""
        data = self._waiting.pop(transport, None)
        if data is not None:
            transport.write(data)

    def flush(self) -> None:
        """Write everything that waits; nothing to those who are gone."""
        waiting, self._waiting = self._waiting, {}
        for transport, data in waiting.items():
            if transport.is_closing():
                continue
            try:
                transport.write(data)
            except Exception as error:  # noqa: BLE001 - one client's; the others' answers are still to be written
                said = {"message": "an answer was not written", "exception": error}
                asyncio.get_running_loop().call_exception_handler(said)
                transport.abort()
