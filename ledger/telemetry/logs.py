"""Log lines of the server: JSON for programs, text for a terminal.

The rule that must not break: no secret ever reaches a line, and nothing that a client sent can end a line or act on a
terminal: secrets are replaced, and control and formatting characters are escaped.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

REDACTED = "[redacted]"
_SECRET_NAMES = re.compile(r"(?i)authorization|secret|api_?key$|password|private_?key|seed")
# An API key, a bearer token of any kind, and the text form of a signing key.
_SECRETS = re.compile(r"\blp_[a-z_][a-z0-9-]{0,62}_[0-9A-Za-z]{12}_[0-9A-Za-z]+|(?i:bearer) \S+|PRIVATE\+KEY\+\S+")


class LogFormat(Enum):
    """How log lines are written."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


def configure_logs(log_format: LogFormat, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send what all modules log to one stream, one line a record.

    Args:
        log_format: `AUTO` is text on a terminal and JSON elsewhere.
        level: Least level to write.
        stream: Where to; None for standard error.
    """
    target = sys.stderr if stream is None else stream
    as_text = log_format is LogFormat.TEXT or (log_format is LogFormat.AUTO and target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_describe, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact,
                _render_text if as_text else _render_json,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


def escape(text: str) -> str:
    """Return text with each character that could end a line or act on a terminal as its escape."""
    # A backslash is escaped too, so that an escape in a line is always one of ours.
    return "".join(
        character.encode("unicode_escape").decode() if character == "\\" or not character.isprintable() else character
        for character in text
    )


def _describe(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add when the record was made, how grave it is, and which module made it."""
    record = event["_record"]
    made = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    event["time"] = f"{made}Z"
    event["level"] = record.levelname.lower()
    event["logger"] = record.name
    return event


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {str(name): REDACTED if _SECRET_NAMES.search(str(name)) else _clean(value) for name, value in event.items()}


def _clean(value: object) -> object:
    if isinstance(value, str):
        return _SECRETS.sub(REDACTED, value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {
            str(name): REDACTED if _SECRET_NAMES.search(str(name)) else _clean(inner) for name, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner) for inner in value]
    return _SECRETS.sub(REDACTED, str(value))


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    ordered = {"time": event.pop("time"), "level": event.pop("level"), "event": event.pop("event")}
    # ASCII only: whatever else a character may do, it does not do it here.
    return json.dumps(ordered | dict(sorted(event.items())), ensure_ascii=True, allow_nan=False, default=str)


def _render_text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    time, level, message = event.pop("time"), event.pop("level"), event.pop("event")
    event.pop("logger")
    # A traceback is for people, so its lines stay lines; what is in them is escaped.
    trace = event.pop("exception", "")
    fields = "".join(f" {name}={_text_value(value)}" for name, value in sorted(event.items()))
    lines = "".join(f"\n  {escape(line)}" for line in str(trace).splitlines())
    return f"{time} {level:<8} {escape(str(message))}{fields}{lines}"


def _text_value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    escaped = escape(text)
    return f'"{escaped}"' if " " in escaped or not escaped else escaped
