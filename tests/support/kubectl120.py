"""Debian's kubectl 1.20, which speaks SPDY only: unpacked into the cache, never installed."""

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.gobuild import Built, cache_home, locked
from tests.support.processes import progress

PACKAGE = "kubernetes-client"


@functools.cache
def kubectl120() -> Built:
    """The path of the binary, or why there is none (no Debian tools, no package, no network)."""
    folder = cache_home() / "test-bin" / "kubectl-1.20"
    target = folder / "kubectl"
    if target.exists():
        return Built(target)
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            return Built(None, f"{tool} is not there to fetch Debian's {PACKAGE}")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", f"the download of {PACKAGE}"):
        if target.exists():
            return Built(target)
        progress(f"downloading Debian's {PACKAGE} (8 MB, once)")
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            return _unpack(Path(scratch), target)


def _unpack(scratch: Path, target: Path) -> Built:
    # apt drops its privileges for downloads, and that user may not enter our cache.
    fetch = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", PACKAGE]
    try:
        subprocess.run(fetch, cwd=scratch, check=True, capture_output=True, text=True, timeout=180)
        (archive,) = scratch.glob("*.deb")
        subprocess.run(
            ["dpkg-deb", "-x", archive, scratch / "tree"],
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return Built(None, f"apt-get download {PACKAGE} took more than 180 s")
    except subprocess.CalledProcessError as error:
        return Built(None, f"{' '.join(map(str, error.cmd[:3]))}: {error.stderr.strip()[-300:]}")
    binary = scratch / "tree" / "usr" / "bin" / "kubectl"
    version = subprocess.run(
        [binary, "version", "--client"], capture_output=True, text=True, check=False
    ).stdout
    if 'Minor:"20' not in version:
        return Built(None, f"Debian's {PACKAGE} is another release by now: {version.strip()}")
    binary.replace(target)
    return Built(target)
