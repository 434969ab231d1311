import msgspec
import pytest

from pipeops.protocol.messages.heartbeat import Heartbeat, WorkerJoin
from pipeops.protocol.messages.negotiation import GatewayHello
from pipeops.protocol.messages.payload import MessageRejected, Payload, decode_payload
from pipeops.protocol.messages.registration import Register, RegisterSuccess


class Inner(Payload, frozen=True, kw_only=True):
    port: int = 0
    name: str = ""


class Sample(Payload, frozen=True, kw_only=True):
    TYPE = "sample"
    key: str
    port: int = 7
    inner: Inner | None = None


def test_unknown_keys_are_ignored():
    assert decode_payload(b'{"key":"k","new":[1]}', Sample) == Sample(key="k")


def test_wrongly_typed_key_counts_as_absent():
    assert decode_payload(b'{"key":"k","port":"80"}', Sample) == Sample(key="k")
    assert decode_payload(b'{"key":"k","port":null}', Sample) == Sample(key="k")
    assert decode_payload(b'{"key":"k","port":80.5}', Sample) == Sample(key="k")


@pytest.mark.parametrize("number", [b"80", b"80.0", b"8e1"])
def test_integers_may_come_as_doubles(number):
    assert decode_payload(b'{"key":"k","port":%s}' % number, Sample).port == 80


def test_one_bad_key_does_not_lose_its_neighbours():
    got = decode_payload(b'{"key":"k","inner":{"port":"x","name":"n"},"port":"x"}', Sample)
    assert got == Sample(key="k", inner=Inner(name="n"))


def test_doubles_and_junk_deep_inside_a_hello():
    got = decode_payload(
        b'{"use_yamux":true,"yamux_config":{"max_stream_window_size":1048576.0,'
        b'"keep_alive_interval_seconds":"30s","accept_backlog":256}}',
        GatewayHello,
    )
    config = got.yamux_config
    assert isinstance(config, msgspec.Struct)
    assert config.max_stream_window_size == 1048576
    assert config.keep_alive_interval_seconds is msgspec.UNSET


@pytest.mark.parametrize("raw", [b"{}", b'{"key":3}', b'{"key":null}'])
def test_required_key_must_be_there(raw):
    with pytest.raises(MessageRejected, match="needs a valid key"):
        decode_payload(raw, Sample)


@pytest.mark.parametrize("raw", [b"[]", b"3", b"null", b"{", b'{"key":"\xff"}', b"[" * 5000])
def test_rubbish_is_rejected_not_raised(raw):
    with pytest.raises(MessageRejected):
        decode_payload(raw, Sample)


def test_repr_hides_credentials():
    shown = repr(
        [
            Register(agent_id="a", k8s_service_token="canary"),
            RegisterSuccess(cluster_id="c", token="canary", x_session_secret="canary"),
            Heartbeat(
                agent_id="a",
                cluster_id="c",
                grafana_password="canary",
                worker_join=WorkerJoin(env={"K3S_TOKEN": "canary"}, commands=["x canary"]),
            ),
        ]
    )
    assert "canary" not in shown
    assert "agent_id='a'" in shown
