"""CertificateFiles: certificates in a directory, read again when they change."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeops.control.certificates.certificate import (
    MAX_PEM,
    Certificate,
    CertificateError,
    Source,
    read_certificate,
)
from pipeops.runtime.clock import Clock
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

INTERVAL: Final = 2.0  # seconds between looks; a look costs two stat calls for each pair
RETRY: Final = (
    60.0  # seconds until an unchanged pair is read again: "not valid yet" passes by itself
)
MAX_FILES: Final = 10_000
# Names of a pair within a directory of its own: Secrets of type kubernetes.io/tls, certbot's live/<host>.
PAIRS: Final = (("tls.crt", "tls.key"), ("fullchain.pem", "privkey.pem"))

_Signature = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """The two files of a certificate, and what people call it."""

    label: str
    chain: Path
    key: Path

    def signature(self) -> _Signature:
        """Changes when either file does, comes, goes, or a symbolic link on the way leads elsewhere."""
        return (*_stat(self.chain), *_stat(self.key))


def _stat(path: Path) -> _Signature:
    try:
        seen = path.stat()
    except OSError:
        return (0, 0, 0, 0)
    return (seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size)


@dataclass(slots=True)
class _Pair:
    """What became of a pair so far.

    Attributes:
        signature: of the last look.
        certificate: the last good one.
        problem: why the files are not what is served; empty if they are.
        told: the problem was reported.
        missing: looks in a row without the files.
        next_try: monotonic time of the next reading of unchanged, bad files.
    """

    signature: _Signature | None = None
    certificate: Certificate | None = None
    problem: str = ""
    told: bool = False
    missing: int = 0
    next_try: float = 0.0


class CertificateFiles:
    """Follows `<name>.crt` with `<name>.key`, and `tls.crt` with `tls.key`, in a directory and in those below it.

    A pair that cannot be used is reported once and its last good certificate stays. Whoever replaces files does not
    do it in one instant, so that a bad or missing pair counts only at the second look. A pair that is gone is served
    no longer; a directory that cannot be read changes nothing.

    Args:
        directory: where they are; names that begin with a dot are left out.
        clock: for dates and for the time between looks.
        changed: gets all certificates after each change.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        changed: Callable[[tuple[Certificate, ...]], None],
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._changed = changed
        self._pairs: dict[Path, _Pair] = {}  # by the certificate's path
        self._failure = ""
        #: Why a pair of files, or the whole directory, is not what is served, by its path.
        self.problems: Mapping[str, str] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)

    async def look(self) -> bool:
        """Look once; True if the certificates changed, after `changed` was told."""
        changed = await asyncio.to_thread(self._look)
        problems = {str(path): pair.problem for path, pair in self._pairs.items() if pair.told}
        if self._failure:
            problems[str(self._directory)] = self._failure
        self.problems = problems
        if changed:
            self._changed(
                tuple(
                    pair.certificate
                    for _, pair in sorted(self._pairs.items())
                    if pair.certificate is not None
                )
            )
        return changed

    def _look(self) -> bool:
        try:
            found = {one.chain: one for one in _pairs_in(self._directory)}
        except OSError as error:
            failure = error.strerror or str(error)
            if failure != self._failure:
                log.error("directory of certificates cannot be read; those known stay", directory=str(self._directory), reason=failure)  # fmt: skip  # noqa: TRY400 - the reason is the whole story
            self._failure = failure
            return False
        self._failure = ""
        changed = False
        for files in found.values():
            changed |= self._follow(files)
        for path in [path for path in self._pairs if path not in found]:
            changed |= self._gone(path)
        return changed

    def _follow(self, files: _Found) -> bool:
        pair = self._pairs.setdefault(files.chain, _Pair())
        pair.missing = 0
        signature, now = files.signature(), self._clock.monotonic()
        seen_before = signature == pair.signature
        if seen_before and (not pair.problem or (pair.told and now < pair.next_try)):
            return False
        pair.signature = signature
        try:
            certificate = self._read(files)
        except CertificateError as error:
            self._bad(pair, str(error), report=seen_before)
            return False
        pair.problem, pair.told = "", False
        if pair.certificate is not None and pair.certificate.chain == certificate.chain:
            return False
        pair.certificate = certificate
        log.info("certificate read", file=str(files.chain), names=list(certificate.names[:10]))
        return True

    def _bad(self, pair: _Pair, problem: str, *, report: bool) -> None:
        if report and not (pair.told and pair.problem == problem):
            stays = pair.certificate is not None
            log.error("certificate files cannot be used", reason=problem, old_one_stays=stays)
            pair.told = True
        pair.problem = problem
        pair.next_try = self._clock.monotonic() + RETRY

    def _gone(self, path: Path) -> bool:
        pair = self._pairs[path]
        pair.missing += 1
        if pair.missing < 2:
            return False
        del self._pairs[path]
        if pair.certificate is None:
            return False
        log.warning("certificate files are gone; it is no longer served", file=str(path))
        return True

    def _read(self, files: _Found) -> Certificate:
        return read_certificate(
            _content(files.chain),
            _content(files.key),
            label=files.label,
            source=Source.FILE,
            origin=f"certificate {files.chain} with key {files.key}",
            now=self._clock.wall(),
        )


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PEM + 1)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror or error}") from error


def _pairs_in(directory: Path) -> Iterator[_Found]:
    """The pairs of a directory and of those directly below it; at most `MAX_FILES` of each."""
    with os.scandir(directory) as entries:
        seen = sorted(
            (entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")
        )
    named = [name for name, is_directory in seen if not is_directory and _is_certificate(name)]
    for name in named[:MAX_FILES]:
        path = directory / name
        yield _Found(path.stem, path, path.with_suffix(".key"))
    below = [directory / name for name, is_directory in seen if is_directory]
    for place in [directory, *below[:MAX_FILES]]:
        for chain, key in PAIRS:
            if any(_stat(place / chain)):
                label = place.name if place != directory else chain.rpartition(".")[0]
                yield _Found(label, place / chain, place / key)
                break


def _is_certificate(name: str) -> bool:
    """`<name>.crt`; `ca.crt` lies in many Secrets and is nobody's server certificate."""
    return name.endswith(".crt") and name not in {"ca.crt", "tls.crt"}
