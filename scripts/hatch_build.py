"""Build hook: notes commit and time in the wheel, where `pipeops.runtime.build` finds them."""

import datetime as dt
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NoteBuild(BuildHookInterface):
    """PIPEOPS_BUILD_COMMIT names the commit where there is no git (an image's build); SOURCE_DATE_EPOCH the time.

    See https://reproducible-builds.org/specs/source-date-epoch/.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put `pipeops/build.json` into a wheel; an editable install asks its checkout."""
        if version == "editable":
            return
        seconds = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())  # noqa: TID251 -- a tool, no program
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
        noted = {"commit": self._commit(), "date": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
        self._folder = tempfile.TemporaryDirectory(prefix="pipeops-build-")
        path = Path(self._folder.name) / "build.json"
        path.write_text(json.dumps(noted), "utf-8")
        build_data["force_include"][str(path)] = "pipeops/build.json"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is written."""
        if version != "editable":
            self._folder.cleanup()

    def _commit(self) -> str:
        if given := os.environ.get("PIPEOPS_BUILD_COMMIT"):
            return given
        try:
            done = subprocess.run(  # noqa: S603 -- nothing of it comes from outside
                ["git", "-C", self.root, "rev-parse", "HEAD"],  # noqa: S607
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return "unknown"
        return done.stdout.strip()
