"""`tunnel.forwards` as it is written."""

import pytest

from pipeops.agent.forward_settings import ConfiguredForward, forward_list

API = ConfiguredForward("api", "localhost:6443", 0)


@pytest.mark.parametrize(
    "value",
    [
        [{"name": "api", "local_addr": "localhost:6443", "remote_port": 0}],
        [{"Name": "api", "localAddr": "localhost:6443"}],
        '[{"name": "api", "local_addr": "localhost:6443"}]',
    ],
)
def test_lists_of_files_and_json_of_flags(value: object) -> None:
    assert forward_list(value) == (API,)


@pytest.mark.parametrize(
    "value",
    [
        "api=localhost:6443",
        {},
        ["api"],
        [{"name": "api"}],
        [{"name": "api", "local_addr": "localhost"}],
        [{"name": "api", "local_addr": "localhost:0"}],
        [{"name": "api", "local_addr": "localhost:6443", "remote_port": "x"}],
        [{"name": "api", "local_addr": "localhost:6443", "remote_port": 70000}],
        [{"name": "api", "local_addr": "localhost:6443", "surprise": 1}],
        [{"name": "api", "local_addr": "localhost:6443"}] * 65,
    ],
)
def test_anything_else_is_told_the_form(value: object) -> None:
    with pytest.raises(ValueError, match="a list such as"):
        forward_list(value)
