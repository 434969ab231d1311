"""Options become settings, or an error that names the option."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeops.control.certificate_options import certificate_options, certificate_settings
from pipeops.control.certificate_settings import AcmeSettings, CertificateSettings, Challenge


@pytest.fixture
def parse():
    """Parse arguments; returns the settings, or what the user sees."""

    def run(*arguments, **environment):
        made = []

        @click.command(context_settings={"auto_envvar_prefix": "PIPEOPS_CONTROL"})
        @certificate_options
        def command(**options):
            made.append(certificate_settings(options))

        result = CliRunner().invoke(command, arguments, env=environment)
        return made[0] if made else result.output

    return run


def test_nothing_is_read_and_nothing_ordered_by_default(parse):
    assert parse() == CertificateSettings()


def test_files_and_the_default_certificate(parse):
    assert parse(
        "--certificate-dir", "/tls", "--default-certificate", "www"
    ) == CertificateSettings(directory=Path("/tls"), default="www")


def test_all_about_acme(parse):
    found = parse(
        "--acme-directory", "letsencrypt", "--acme-accept-terms", "--acme-contact", "ops@example.com",
        "--acme-host", "a.example.com", "--acme-host", "*.example.com", "--acme-challenge", "dns-01",
        "--acme-dns-hook", "/hook", "--acme-dns-wait", "3", "--acme-eab-key-id", "kid",
        "--acme-eab-key-file", "/eab", "--acme-ca-file", "/ca.crt",
    ).acme  # fmt: skip
    assert found == AcmeSettings(
        directory="https://acme-v02.api.letsencrypt.org/directory",
        contact=("ops@example.com",), terms_accepted=True, hosts=("a.example.com", "*.example.com"),
        eab_key_id="kid", eab_key_file=Path("/eab"), ca_file=Path("/ca.crt"), challenge=Challenge.DNS,
        dns_hook=Path("/hook"), dns_wait=3.0,
    )  # fmt: skip


def test_variables_hold_lists(parse):
    found = parse(
        PIPEOPS_CONTROL_ACME_DIRECTORY="https://ca.internal/dir",
        PIPEOPS_CONTROL_ACME_HOST="a.example.com b.example.com",
    )
    assert found.acme.hosts == ("a.example.com", "b.example.com")
    assert found.acme.directory == "https://ca.internal/dir"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--acme-host", "a.example.com"), "--acme-host needs --acme-directory"),
        (("--acme-dns-hook", "/hook"), "--acme-dns-hook needs --acme-directory"),
        (("--acme-directory", "http://ca/dir"), "expected an https:// URL"),
        (("--acme-directory", "letsencript"), "expected an https:// URL"),
        (("--acme-directory", "letsencrypt", "--acme-eab-key-id", "x"), "belong together"),
        (
            ("--acme-directory", "letsencrypt", "--acme-challenge", "dns-01"),
            "needs --acme-dns-hook",
        ),
    ],
)
def test_contradictions_are_errors(parse, arguments, why):
    assert why in parse(*arguments)
