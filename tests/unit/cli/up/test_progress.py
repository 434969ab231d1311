"""Progress without and with a terminal."""

import io

from rich.console import Console

from pipeops.cli.up.progress import Progress


def recorded(*, terminal):
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=terminal, width=100, soft_wrap=True, _environ={"TERM": "xterm"}
    )
    return Progress(console=console), stream


def test_plain_lines_and_only_changes_of_status():
    progress, stream = recorded(terminal=False)
    with progress.step("control plane"):
        pass
    progress.note("cluster 'sim': because [brackets] stay")
    for detail in ("up 1s", "up 3s"):
        progress.status("sim is connected", detail)
    progress.status("sim is disconnected", "retrying")
    progress.close()
    assert stream.getvalue().splitlines() == [
        "control plane …",
        "cluster 'sim': because [brackets] stay",
        "sim is connected (up 1s)",
        "sim is disconnected (retrying)",
    ]


def test_a_terminal_shows_every_status():
    progress, stream = recorded(terminal=True)
    progress.status("sim is connected", "up 1s")
    progress.status("sim is connected", "up 3s")
    progress.close()
    progress.close()
    assert "up 3s" in stream.getvalue()
    assert "Ctrl-C" in stream.getvalue()
