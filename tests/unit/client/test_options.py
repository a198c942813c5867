from __future__ import annotations

import math
from pathlib import Path

import pytest

from ledger.client.options import Options, default_state_directory, options_from_env
from ledger.errors import InvalidRequestError


def test_api_key_never_shows() -> None:
    options = Options("127.0.0.1:7650", api_key="lp_secret")

    assert "lp_secret" not in repr(options)
    assert "lp_secret" not in str(options)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:7650", "localhost:1", "[::1]:7650", "127.9.9.9:65535", "http://127.0.0.1:1"]
)
def test_api_key_may_travel_in_the_clear_within_this_machine(address: str) -> None:
    assert not Options(address, api_key="k").tls


@pytest.mark.parametrize(
    "address", ["10.0.0.5:7650", "ledger.example:443", "[2001:db8::1]:7650", "http://ledger.example:80"]
)
def test_api_key_in_the_clear_to_another_machine_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequestError, match="in the clear"):
        Options(address, api_key="k")


def test_api_key_may_travel_encrypted(tmp_path: Path) -> None:
    assert Options("https://ledger.example:443", api_key="k").tls
    assert Options("ledger.example:443", api_key="k", tls_ca=tmp_path / "ca.pem").tls


@pytest.mark.parametrize(
    "address",
    ["", "localhost", "localhost:", ":7650", "localhost:0", "localhost:65536", "localhost:x", "::1:7650", "a/b:1"],
)
def test_address_is_host_and_port(address: str) -> None:
    with pytest.raises(InvalidRequestError, match="HOST:PORT"):
        Options(address)


@pytest.mark.parametrize("key", ["with space", "new\nline", "ünïcode"])
def test_api_key_that_cannot_be_sent_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Options("127.0.0.1:1", api_key=key)
    assert key not in str(caught.value)


def test_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="go together"):
        Options("127.0.0.1:1", tls_cert=tmp_path / "c.pem")


def test_tls_files_with_plain_http_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="http://"):
        Options("http://127.0.0.1:1", tls_ca=tmp_path / "c.pem")


def test_environment_names_everything(tmp_path: Path) -> None:
    options = options_from_env(
        {
            "LOGPROOF_ADDRESS": "https://ledger.example:443",
            "LOGPROOF_API_KEY": "k",
            "LOGPROOF_LOG": "acme",
            "LOGPROOF_VERIFIER_KEY": "v",
            "LOGPROOF_STATE": str(tmp_path),
            "LOGPROOF_SERVICE": "billing",
        }
    )

    assert options == Options("https://ledger.example:443", "acme", "k", "v", state=tmp_path, service="billing")


def test_empty_environment_variables_count_as_absent() -> None:
    options = options_from_env({"LOGPROOF_ADDRESS": "127.0.0.1:1", "LOGPROOF_API_KEY": "", "LOGPROOF_LOG": ""})

    assert (options.api_key, options.log) == (None, "default")


def test_missing_address_says_what_to_set() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        options_from_env({})
    assert "LOGPROOF_ADDRESS" in caught.value.hint


def test_state_directory_is_the_users_own(tmp_path: Path) -> None:
    assert default_state_directory({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "logproof"
    assert default_state_directory({"LOGPROOF_STATE": str(tmp_path)}) == tmp_path
    assert default_state_directory({}) == Path.home() / ".local" / "state" / "logproof"


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, -math.inf, 86_400.1, 9e9, 1e308])
def test_time_that_no_call_can_have_is_refused_with_the_limit(seconds: float) -> None:
    with pytest.raises(InvalidRequestError, match="above 0 and at most 86400"):
        Options("127.0.0.1:1", timeout_seconds=seconds)


def test_a_day_is_time_enough_for_a_call() -> None:
    assert Options("127.0.0.1:1", timeout_seconds=86_400).timeout_seconds == 86_400
