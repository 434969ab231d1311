"""A dial that is given up in the middle of TLS must not harm the connection that gets its descriptor next."""

import subprocess
import sys
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.stack import REPOSITORY, environment

TURNS = 600


def test_dials_given_up_at_any_moment_leave_other_connections_alone(tmp_path: Path) -> None:
    """In a process of its own: what went wrong here once ended the whole process (libuv's abort)."""
    authority = Authority(tmp_path)
    pair = authority.server("server", "127.0.0.1")
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.support.cancelled_dials",
            pair.certificate, pair.key, authority.ca_file, str(TURNS),
        ],
        env=environment(),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{TURNS} dials given up" in done.stdout
