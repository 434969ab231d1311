"""ControlSettings."""

from pathlib import Path

from pipeops.control.settings import ControlSettings


def test_the_administrators_token_lies_in_the_data_directory():
    settings = ControlSettings(data_dir=Path("/data"), database_url="sqlite:////data/pipeops.db")
    assert settings.admin_token_file == Path("/data/admin-token")


def test_loopback_without_tls_unless_told_otherwise():
    settings = ControlSettings(data_dir=Path("/data"), database_url="")
    assert (settings.listen_host, settings.tls_cert) == ("127.0.0.1", None)
