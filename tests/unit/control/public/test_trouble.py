"""What visitors are told: every kind of failure has words, and an agent's word leads to one."""

import pytest

from pipeops.control.public.trouble import WORDS, Trouble, of_failure, of_status
from pipeops.protocol.exchange.service_failure import ServiceFailure
from pipeops.protocol.exchange.status import Hop


def test_every_trouble_has_words() -> None:
    assert set(WORDS) == set(Trouble)


def test_every_word_of_an_agent_is_understood() -> None:
    for failure in ServiceFailure:
        assert of_failure(failure.value) in WORDS
    assert of_failure("something-new") is Trouble.BROKEN


@pytest.mark.parametrize(
    ("code", "hop", "trouble"),
    [
        (400, Hop.CLIENT, Trouble.BAD_REQUEST), (408, Hop.CLIENT, Trouble.SLOW_CLIENT), (502, Hop.TUNNEL, Trouble.BROKEN),
        (504, Hop.AGENT, Trouble.TIMEOUT), (403, Hop.AGENT, Trouble.NOT_SERVED), (431, Hop.CLIENT, Trouble.HEAD_TOO_LARGE),
        (417, Hop.CLIENT, Trouble.BAD_REQUEST), (599, Hop.AGENT, Trouble.BROKEN), (505, Hop.CLIENT, Trouble.UNSUPPORTED),
    ],
)  # fmt: skip
def test_a_failure_of_the_path_is_told_by_its_status(code: int, hop: Hop, trouble: Trouble) -> None:
    assert of_status(code, hop) is trouble
