"""`logproof key`: make, list, rotate and revoke API keys.

The rule that must not break: a secret is printed once, on stdout, or written to a file that only its owner may read, and
never both; as a table it stands alone there, in other formats in its record. Everything else that is said goes to
stderr.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ledger.cli.output import Format, say, write_record, write_records
from ledger.cli.settings import Settings, client_options, format_option
from ledger.events.timestamps import format_timestamp

if TYPE_CHECKING:
    from ledger.client.values import ApiKeyInfo, NewApiKey

_ROLES: Final = ("writer", "verifier", "reader", "auditor", "admin")
_SECRET_MODE: Final = 0o600

_out_option = click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the secret to a file (mode 0600) instead of stdout.",
)


@click.group()
def command() -> None:
    """Make, list, rotate and revoke API keys of a log."""


@command.command("create")
@click.argument("label")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(_ROLES), help="May be given again.")
@click.option("--personal", is_flag=True, help="May see personal data; needs reader or auditor.")
@click.option("--expires-in-days", type=click.IntRange(min=1, max=3650), metavar="DAYS", help="By default 90.")
@click.option("--certificate-name", default="", metavar="NAME", help="For a client certificate: its alternative name.")
@_out_option
@format_option()
@client_options
def create(
    settings: Settings,
    label: str,
    roles: tuple[str, ...],
    expires_in_days: int | None,
    certificate_name: str,
    out: Path | None,
    output_format: Format,
    *,
    personal: bool,
) -> None:
    """Make a credential; LABEL says in words what it is for, without personal data."""
    from ledger.cli.connect import open_administration
    from ledger.client.values import Role

    with open_administration(settings) as administration:
        made = administration.create_key(
            label,
            [Role[role.upper()] for role in roles],
            personal=personal,
            expires_in_days=expires_in_days or 0,
            certificate_name=certificate_name,
        )
        say(f"made key {made.info.key_id} of log {administration.log}, for {made.info.label}; {_ends(made.info)}")
    _hand_over(made, out, output_format)


@command.command("list")
@format_option()
@client_options
def list_keys(settings: Settings, output_format: Format) -> None:
    """List the credentials of the log, without secrets."""
    from ledger.cli.connect import open_administration

    with open_administration(settings) as administration:
        keys = administration.list_keys()
    write_records(
        [_record(key) for key in keys],
        output_format,
        ["key_id", "label", "roles", "personal", "created_at", "expires_at", "revoked_at"],
    )


@command.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap-seconds",
    type=click.IntRange(min=0, max=30 * 86_400),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="How long the old secret still works.",
)
@_out_option
@format_option()
@client_options
def rotate(settings: Settings, key_id: str, overlap_seconds: int, out: Path | None, output_format: Format) -> None:
    """Give the principal of a key a new secret."""
    from ledger.cli.connect import open_administration

    with open_administration(settings) as administration:
        made = administration.rotate_key(key_id, overlap_seconds=overlap_seconds)
    ending = f"works for {overlap_seconds} s more" if overlap_seconds else "no longer works"
    say(f"key {key_id} {ending}; the new one is {made.info.key_id}, {_ends(made.info)}")
    _hand_over(made, out, output_format)


@command.command("revoke")
@click.argument("key_id")
@format_option()
@client_options
def revoke(settings: Settings, key_id: str, output_format: Format) -> None:
    """End a credential at once."""
    from ledger.cli.connect import open_administration

    with open_administration(settings) as administration:
        ended = administration.revoke_key(key_id)
    say(f"key {ended.key_id} is revoked")
    write_record(_record(ended), output_format)


def _hand_over(made: NewApiKey, out: Path | None, output_format: Format) -> None:
    if output_format is not Format.TABLE:
        write_record(
            {**_record(made.info), "secret": made.secret if made.secret and out is None else None}, output_format
        )
    if not made.secret:
        say("it is a certificate credential, and has no secret")
    elif out is None:
        say("its secret is shown this once:" if output_format is Format.TABLE else "its secret is shown this once")
        if output_format is Format.TABLE:
            click.echo(made.secret)
    else:
        from ledger.client.state import write_atomically

        write_atomically(out, made.secret.encode() + b"\n", _SECRET_MODE)
        say(f"its secret is in {out}")


def _ends(key: ApiKeyInfo) -> str:
    return f"it ends at {format_timestamp(key.expires_at)}" if key.expires_at else "it does not end by itself"


def _record(key: ApiKeyInfo) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "label": key.label,
        "roles": [role.name.lower() for role in key.roles],
        "personal": key.personal,
        "principal": key.principal.hex(),
        "created_at": format_timestamp(key.created_at),
        "expires_at": format_timestamp(key.expires_at) if key.expires_at else None,
        "revoked_at": format_timestamp(key.revoked_at) if key.revoked_at else None,
        "certificate_name": key.certificate_name or None,
    }
