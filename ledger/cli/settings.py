"""What commands that talk to a server have in common: the options, the environment and the configuration file.

An option goes before the environment, the environment before the file. The rule that must not break: an API key is
read where others cannot see it, and never printed.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from ledger.cli.files import read_setting
from ledger.cli.output import Format
from ledger.client.options import DEFAULT_ADDRESS, DEFAULT_LOG, Options, options_from_env
from ledger.errors import FieldViolation, InvalidRequestError, MalformedError

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
"""Time that one call may take with all its retries, unless `--timeout` says otherwise."""

_CONFIG_KEYS: Final = frozenset(
    {"address", "api_key_file", "log", "verifier_key", "tls_ca", "tls_cert", "tls_key", "state", "timeout"}
)
# A verifier key is name+id+key, and its last part may hold more.
_KEY_PLUSES: Final = 2
_PATHS: Final = frozenset({"tls_ca", "tls_cert", "tls_key", "state"})


@dataclass(frozen=True, slots=True)
class Settings:
    """The common options as they were given; None where not.

    Attributes:
        address: Address of the server.
        api_key: Secret of an API key.
        api_key_file: File that holds it.
        log: Name of the log.
        key: Verifier key, or a file that holds it.
        tls_ca: File of certificate authorities.
        tls_cert: File of the client certificate.
        tls_key: File of its private key.
        state: Directory of trusted checkpoints.
        timeout: Time for one call, seconds.
    """

    address: str | None
    api_key: str | None
    api_key_file: Path | None
    log: str | None
    key: str | None
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    state: Path | None
    timeout: float | None

    def options(self, environment: Mapping[str, str] | None = None) -> Options:
        """Return the client's options, with what the environment and the configuration file add.

        Raises:
            InvalidRequestError: A setting is missing or breaks a rule.
            OSError: A file that is named cannot be read.
        """
        environment = os.environ if environment is None else environment
        given: dict[str, str | float | Path | None] = {
            "address": self.address or None,
            "api_key": self.api_key or None,
            "log": self.log or None,
            "verifier_key": read_key(self.key) if self.key else None,
            "tls_ca": self.tls_ca,
            "tls_cert": self.tls_cert,
            "tls_key": self.tls_key,
            "state": self.state,
            "timeout_seconds": self.timeout,
        }
        if self.api_key_file is not None:
            if self.api_key:
                raise click.UsageError("--api-key and --api-key-file are given both")
            given["api_key"] = read_setting(self.api_key_file).strip()
        for name, value in _from_file(environment).items():
            if given.get(name) is None and not environment.get(f"LOGPROOF_{name.upper()}"):
                given[name] = value
        if given["address"] is None and not environment.get("LOGPROOF_ADDRESS"):
            given["address"] = DEFAULT_ADDRESS
        if given["timeout_seconds"] is None:
            given["timeout_seconds"] = DEFAULT_TIMEOUT_SECONDS
        return options_from_env(environment, **given)


def client_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the common options; it gets them as `settings`."""

    @functools.wraps(command)
    def with_settings(**values: object) -> None:
        names = Settings.__dataclass_fields__
        taken = {name: values.pop(name) for name in names}
        command(settings=Settings(**taken), **values)  # type: ignore[arg-type]

    file = click.Path(dir_okay=False, path_type=Path)
    for option in reversed(
        (
            click.option(
                "--address",
                metavar="HOST:PORT",
                help=f"Server, by default {DEFAULT_ADDRESS}; https:// before it for TLS.",
            ),
            click.option("--log", metavar="NAME", help=f"Log; by default {DEFAULT_LOG}."),
            click.option("--key", metavar="VKEY|FILE", help="Verifier key of the log; pins it."),
            click.option("--api-key-file", type=file, metavar="FILE", help="File that holds the API key."),
            click.option("--api-key", metavar="SECRET", help="API key; other users of the machine can see it here."),
            click.option("--tls-ca", type=file, metavar="FILE", help="Certificate authorities to trust, PEM."),
            click.option("--tls-cert", type=file, metavar="FILE", help="Client certificate, PEM."),
            click.option("--tls-key", type=file, metavar="FILE", help="Its private key, PEM."),
            click.option(
                "--state",
                type=click.Path(file_okay=False, path_type=Path),
                metavar="DIR",
                help="Where the last trusted checkpoint is kept.",
            ),
            click.option(
                "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Time for one call."
            ),
        )
    ):
        with_settings = option(with_settings)
    return with_settings


def format_option(default: Format = Format.TABLE) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command `--format`; it gets it as `output_format`."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(Format, case_sensitive=False),
        default=default,
        help="How data is printed.",
    )


def read_key(text: str) -> str:
    """Return the verifier key that an option holds or names the file of.

    Raises:
        InvalidRequestError: It is no key, and not a file that can be read.
    """
    if text.count("+") >= _KEY_PLUSES:
        return text
    try:
        return read_setting(Path(text)).strip()
    except (OSError, ValueError, MalformedError) as error:
        why = "it is not text" if isinstance(error, ValueError) else getattr(error, "strerror", error)
        raise InvalidRequestError(
            [FieldViolation("key", f"{text!r} is neither a verifier key nor a file that can be read: {why}")],
            hint="a verifier key is NAME+HASH+KEY; `logproof log show` prints that of a log, and its operator confirms it",
        ) from error


def configured_key(environment: Mapping[str, str]) -> str | None:
    """Return the verifier key of the environment or the configuration file, for what needs nothing else of them.

    Raises:
        InvalidRequestError: The file is not as it must be, or the key that it names cannot be read.
    """
    found = environment.get("LOGPROOF_VERIFIER_KEY")
    if found:
        return read_key(found)
    path = config_path(environment)
    value = _read_table(path, required=bool(environment.get("LOGPROOF_CONFIG"))).get("verifier_key")
    if value is None:
        return None
    if not isinstance(value, str):
        raise _bad_config(path, "verifier_key is not text")
    return _key_in_file(path, value)


def config_path(environment: Mapping[str, str]) -> Path:
    """Return the configuration file: `LOGPROOF_CONFIG`, or `logproof/config.toml` in the user's configuration."""
    chosen = environment.get("LOGPROOF_CONFIG")
    if chosen:
        return Path(chosen)
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "logproof" / "config.toml"


def _from_file(environment: Mapping[str, str]) -> dict[str, str | float | Path | None]:
    path = config_path(environment)
    found: dict[str, str | float | Path | None] = {}
    for name, value in _read_table(path, required=bool(environment.get("LOGPROOF_CONFIG"))).items():
        if name == "timeout":
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise _bad_config(path, "timeout is not a number of seconds")
            found["timeout_seconds"] = float(value)
        elif name not in _CONFIG_KEYS:
            raise _bad_config(path, f"{name!r} is not a setting; the settings are {', '.join(sorted(_CONFIG_KEYS))}")
        elif not isinstance(value, str):
            raise _bad_config(path, f"{name} is not text")
        elif name == "api_key_file":
            # Not read where it is not needed: the environment goes before it.
            if not environment.get("LOGPROOF_API_KEY"):
                found["api_key"] = read_setting(_beside(path, value)).strip()
        elif name == "verifier_key":
            found[name] = _key_in_file(path, value)
        else:
            found[name] = _beside(path, value) if name in _PATHS else value
    return found


def _key_in_file(config: Path, value: str) -> str:
    return value if value.count("+") >= _KEY_PLUSES else read_key(str(_beside(config, value)))


def _read_table(path: Path, *, required: bool) -> dict[str, object]:
    try:
        table = tomllib.loads(read_setting(path))
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise
        return {}
    except tomllib.TOMLDecodeError as error:
        raise _bad_config(path, str(error)) from error
    for name, value in table.items():
        if isinstance(value, str) and "\0" in value:
            raise _bad_config(path, f"{name} has a NUL character")
    return table


def _beside(config: Path, name: str) -> Path:
    """Return a file that the configuration names, relative to it."""
    return config.parent / Path(name).expanduser()


def _bad_config(path: Path, description: str) -> InvalidRequestError:
    return InvalidRequestError([FieldViolation("config", f"{path}: {description}")])
