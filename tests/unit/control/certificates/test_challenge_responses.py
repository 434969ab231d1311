"""Answers for HTTP-01."""

import pytest

from pipeops.control.certificates.challenge_responses import PATH, ChallengeResponses


@pytest.mark.parametrize("host", ["a.example.com", "A.Example.com:80", "a.example.com."])
def test_an_answer_is_there_for_the_length_of_the_order(host):
    responses = ChallengeResponses()
    with responses.showing("a.example.com", "token", "token.thumbprint"):
        assert responses.answer(host, "token") == b"token.thumbprint"
    assert responses.answer(host, "token") is None


def test_neither_other_hosts_nor_other_tokens_are_answered():
    responses = ChallengeResponses()
    with responses.showing("a.example.com", "token", "x"):
        assert responses.answer("b.example.com", "token") is None
        assert responses.answer("a.example.com", "") is None
        assert responses.answer("a.example.com", "token/../token") is None
        assert responses.answer("", "token") is None
    assert PATH.endswith("/")


def test_an_answer_is_taken_back_when_the_order_fails():
    responses = ChallengeResponses()
    with pytest.raises(RuntimeError), responses.showing("a.example.com", "token", "x"):
        raise RuntimeError
    assert responses.answer("a.example.com", "token") is None
