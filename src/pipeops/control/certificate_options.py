"""Options of pipeops-control for the public gateway's certificates."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeops.control.certificate_settings import (
    ACME_SHORTCUTS,
    AcmeSettings,
    CertificateSettings,
    Challenge,
)

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path, dir_okay=False)
_LIST = "; several in the variable: separated by spaces"

_OPTIONS = (
    click.option(
        "--certificate-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="Certificates of the public gateway: NAME.crt with NAME.key, or tls.crt with tls.key, also in directories below; followed while running.",
    ),
    click.option(
        "--default-certificate",
        metavar="NAME",
        default="",
        help="File name or host of the certificate for clients that ask for no name or an unknown one.  [default: they are turned away]",
        show_default=False,
    ),
    click.option(
        "--acme-directory",
        metavar="URL",
        default="",
        help=f"Order certificates here: the directory URL of an ACME server, or {' or '.join(ACME_SHORTCUTS)}.  [default: none are ordered]",
        show_default=False,
    ),
    click.option(
        "--acme-accept-terms",
        is_flag=True,
        help="You agree to the terms of service of the ACME server.",
    ),
    click.option(
        "--acme-contact",
        metavar="EMAIL",
        multiple=True,
        help=f"Told to the ACME server; may be given more than once{_LIST}.",
    ),
    click.option(
        "--acme-host",
        metavar="HOST",
        multiple=True,
        help=f"Order for this host (or *.PARENT), too, beside those of routes with TLS{_LIST}.",
    ),
    click.option(
        "--acme-challenge",
        type=click.Choice([one.value for one in Challenge]),
        default=Challenge.HTTP.value,
        help="How hosts without a wildcard are proved; wildcards always take dns-01.",
    ),
    click.option(
        "--acme-dns-hook",
        type=_FILE,
        default=None,
        help="Program for dns-01, run as: HOOK add|remove RECORD VALUE.",
    ),
    click.option(
        "--acme-dns-wait",
        type=click.FloatRange(0, 600),
        default=15.0,
        help="Seconds after the hook until the ACME server is told to look.",
    ),
    click.option(
        "--acme-eab-key-id",
        metavar="ID",
        default="",
        help="External account, if the ACME server wants one.",
    ),
    click.option(
        "--acme-eab-key-file", type=_FILE, default=None, help="File with its base64url key."
    ),
    click.option(
        "--acme-ca-file",
        type=_FILE,
        default=None,
        help="Trust these authorities (PEM) for the ACME server instead of the public ones.",
    ),
)


def certificate_options(function: F) -> F:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def certificate_settings(options: Mapping[str, Any]) -> CertificateSettings:
    """Return the settings that were given.

    Raises:
        click.UsageError: they contradict each other.
    """
    return CertificateSettings(
        directory=options["certificate_dir"],
        default=options["default_certificate"],
        acme=_acme(options),
    )


def _acme(options: Mapping[str, Any]) -> AcmeSettings | None:
    given = options["acme_directory"]
    if not given:
        lonely = [
            name for name in ("acme_host", "acme_dns_hook", "acme_eab_key_id") if options[name]
        ]
        if lonely:
            raise click.UsageError(f"--{lonely[0].replace('_', '-')} needs --acme-directory")
        return None
    directory = ACME_SHORTCUTS.get(given, given)
    if not directory.startswith("https://"):
        raise click.UsageError(
            f"--acme-directory: expected an https:// URL, {' or '.join(ACME_SHORTCUTS)}"
        )
    if bool(options["acme_eab_key_id"]) != bool(options["acme_eab_key_file"]):
        raise click.UsageError("--acme-eab-key-id and --acme-eab-key-file belong together")
    challenge = Challenge(options["acme_challenge"])
    if challenge is Challenge.DNS and options["acme_dns_hook"] is None:
        raise click.UsageError("--acme-challenge dns-01 needs --acme-dns-hook")
    return AcmeSettings(
        directory=directory,
        contact=tuple(options["acme_contact"]),
        terms_accepted=options["acme_accept_terms"],
        hosts=tuple(options["acme_host"]),
        eab_key_id=options["acme_eab_key_id"],
        eab_key_file=options["acme_eab_key_file"],
        ca_file=options["acme_ca_file"],
        challenge=challenge,
        dns_hook=options["acme_dns_hook"],
        dns_wait=options["acme_dns_wait"],
    )
