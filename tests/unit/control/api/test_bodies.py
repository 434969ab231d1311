"""Bodies: what they accept and how they present records."""

import pytest
from pydantic import ValidationError

from pipeops.control.api.bodies import ClusterBody, ConnectionBody, NewUserToken, UserTokenBody, at
from pipeops.control.api.services import ClusterConnection
from pipeops.control.store.records import Cluster, Role, UserToken


def test_times_are_aware_and_may_be_absent():
    assert at(0.0).isoformat() == "1970-01-01T00:00:00+00:00"
    assert at(None) is None


def test_round_trips_are_milliseconds():
    assert ConnectionBody.of(ClusterConnection(connected=True, rtt=0.0015)).rtt_ms == 1.5
    assert ConnectionBody.of(ClusterConnection()).rtt_ms is None


def test_a_cluster_without_facts_has_an_empty_object():
    record = Cluster("id", "prod", None, 0.0, None, None)
    assert ClusterBody.of(record, ClusterConnection()).facts == {}


def test_a_token_that_reaches_nothing_is_not_one_that_reaches_all():
    def record(clusters):
        return UserToken("i", "l", "p", "ada", (), Role.USER, clusters, 0.0, None, None, None)

    assert UserTokenBody.of(record(())).clusters == []
    assert UserTokenBody.of(record(None)).clusters is None


@pytest.mark.parametrize(
    "field", [{"groups": ["x"] * 257}, {"expires_in": float("inf")}, {"label": "x" * 201}]
)
def test_requests_are_bounded(field):
    with pytest.raises(ValidationError):
        NewUserToken(**{"label": "l", "user": "u"} | field)
