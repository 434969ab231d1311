"""Settings of the public gateway."""

from pipeops.control.public_settings import PublicSettings


def test_it_is_on_when_anything_is_listened_on() -> None:
    assert not PublicSettings().enabled
    assert PublicSettings(http=("127.0.0.1", 80)).enabled
    assert PublicSettings(https=("127.0.0.1", 443)).enabled
