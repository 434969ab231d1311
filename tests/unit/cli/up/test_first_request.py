"""The first request without kubectl."""

from pipeops.cli.up.first_request import render

TABLE = {
    "kind": "Table",
    "columnDefinitions": [
        {"name": "Name", "priority": 0}, {"name": "Status", "priority": 0}, {"name": "OS-Image", "priority": 1},
    ],
    "rows": [{"cells": ["node-1", "Ready", "Debian"]}, {"cells": ["longer-node", "NotReady", "Debian"]}],
}  # fmt: skip


def test_a_table_looks_like_kubectls():
    assert render(TABLE) == "NAME          STATUS\nnode-1        Ready\nlonger-node   NotReady"


def test_a_plain_list_is_names():
    assert (
        render(
            {
                "kind": "NodeList",
                "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}],
            }
        )
        == "a\nb"
    )
