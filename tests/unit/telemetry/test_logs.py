from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.auth.api_keys import make_api_key
from ledger.telemetry.logs import REDACTED, LogFormat, configure_logs, escape

_KEY = make_api_key("default", bytes(range(40))).format()


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


def _lines(log_format: LogFormat, message: str, *, error: Exception | None = None, **fields: object) -> list[str]:
    stream = io.StringIO()
    configure_logs(log_format, stream=stream)
    logging.getLogger("ledger.test").warning(message, exc_info=error, extra=fields)
    return stream.getvalue().splitlines()


def _json(message: str, *, error: Exception | None = None, **fields: object) -> dict[str, object]:
    (line,) = _lines(LogFormat.JSON, message, error=error, **fields)
    parsed = json.loads(line)
    assert isinstance(parsed, dict)
    return parsed


def test_a_record_is_one_object_with_time_level_logger_and_fields() -> None:
    line = _json("a log grew", log="default", entries=3)

    assert line.pop("time", "").endswith("Z")  # type: ignore[attr-defined]
    assert line == {"level": "warning", "event": "a log grew", "logger": "ledger.test", "log": "default", "entries": 3}


def test_an_error_brings_its_traceback() -> None:
    assert "ValueError: why" in str(_json("failed", error=ValueError("why"))["exception"])


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.TEXT])
@pytest.mark.parametrize(
    "secret", [_KEY, "PRIVATE+KEY+logs.example/x+aabbccdd+AAAA", "Bearer abcdefgh", "bearer abcdefgh"]
)
def test_no_secret_reaches_a_line(secret: str, log_format: LogFormat) -> None:
    error = ValueError(f"it was {secret}")

    text = "\n".join(_lines(log_format, f"got {secret}", error=error, given=secret, deep={"a": [secret, (secret,)]}))

    assert secret not in text
    assert secret.rpartition(" ")[2] not in text
    assert text.count(REDACTED) >= 4


@pytest.mark.parametrize("name", ["authorization", "Secret", "api_key", "apikey", "password", "private_key", "seed"])
def test_a_field_with_the_name_of_a_secret_is_redacted(name: str) -> None:
    fields: dict[str, Any] = {name: "value"}

    assert _json("x", **fields)[name] == REDACTED


def test_a_public_key_id_is_no_secret() -> None:
    assert _json("x", key_id="AbC123")["key_id"] == "AbC123"


@given(st.text(), st.text())
def test_whatever_a_record_holds_is_one_line_that_no_terminal_obeys(message: str, value: str) -> None:
    for log_format in (LogFormat.JSON, LogFormat.TEXT):
        (line,) = _lines(log_format, message.replace("%", "%%"), field=value)
        assert line.isprintable()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain ü", "plain ü"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b", "\\x9b"),
        ("\u202e", "\\u202e"),
        ("\u2028", "\\u2028"),
        ("a\\nb", "a\\\\nb"),
    ],
)
def test_what_acts_on_a_terminal_is_escaped(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_without_a_terminal_lines_are_json() -> None:
    (line,) = _lines(LogFormat.AUTO, "x")

    assert json.loads(line)["event"] == "x"


def test_text_shows_fields_and_a_traceback_in_lines_of_its_own() -> None:
    first, *trace = _lines(LogFormat.TEXT, "failed", error=ValueError("why\x1b"), log="default", reason="two words")

    assert first.endswith('warning  failed log=default reason="two words"')
    assert trace[-1] == "  ValueError: why\\x1b"
