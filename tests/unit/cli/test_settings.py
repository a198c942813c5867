from __future__ import annotations

from pathlib import Path

import click
import pytest

from ledger.cli.files import MAX_SETTING_BYTES
from ledger.cli.settings import DEFAULT_TIMEOUT_SECONDS, Settings, config_path, read_key
from ledger.client.options import DEFAULT_ADDRESS
from ledger.errors import InvalidRequestError, MalformedError

VKEY = "log.example/a+00000000+AQ=="


def _settings(**given: object) -> Settings:
    names = dict.fromkeys(Settings.__dataclass_fields__)
    return Settings(**{**names, **given})  # type: ignore[arg-type]


def _config(folder: Path, text: str) -> dict[str, str]:
    (folder / "config.toml").write_text(text)
    return {"LOGPROOF_CONFIG": str(folder / "config.toml")}


def test_option_goes_before_environment_and_environment_before_file(tmp_path: Path) -> None:
    environment = _config(tmp_path, 'address = "127.0.0.1:1"\nlog = "from-file"\nstate = "heads"\ntimeout = 3\n')

    options = _settings().options(environment)
    assert (options.address, options.log) == ("127.0.0.1:1", "from-file")
    assert (options.state, options.timeout_seconds) == (tmp_path / "heads", 3.0)
    environment["LOGPROOF_LOG"] = "from-environment"
    assert _settings().options(environment).log == "from-environment"
    assert _settings(log="from-option", timeout=7.0).options(environment).log == "from-option"
    assert _settings(timeout=7.0).options(environment).timeout_seconds == 7.0


def test_api_key_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("secret-a\n")
    (tmp_path / "b.key").write_text("secret-b\n")
    environment = {**_config(tmp_path, 'api_key_file = "a.key"\n'), "LOGPROOF_ADDRESS": "127.0.0.1:1"}

    assert _settings().options(environment).api_key == "secret-a"
    assert _settings(api_key_file=tmp_path / "b.key").options(environment).api_key == "secret-b"
    environment["LOGPROOF_API_KEY"] = "secret-c"
    assert _settings().options(environment).api_key == "secret-c"


def test_api_key_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError):
        _settings(api_key="k", api_key_file=tmp_path / "x").options({"LOGPROOF_ADDRESS": "127.0.0.1:1"})


def test_verifier_key_may_be_text_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "log.vkey").write_text(VKEY + "\n")
    environment = {"LOGPROOF_ADDRESS": "127.0.0.1:1"}

    assert _settings(key=VKEY).options(environment).verifier_key == VKEY
    assert _settings(key=str(tmp_path / "log.vkey")).options(environment).verifier_key == VKEY
    environment |= _config(tmp_path, 'verifier_key = "log.vkey"\n')
    assert _settings().options(environment).verifier_key == VKEY


@pytest.mark.parametrize(
    "text",
    [
        "adress = 'x'\n",
        "address = 5\n",
        "timeout = 'long'\n",
        "timeout = true\n",
        "not toml",
        'verifier_key = "log.example/a\\u0000+00000000+AQ=="\n',
        'verifier_key = "a\\u0000b"\n',
        'tls_ca = "a\\u0000b"\n',
        'api_key_file = "a\\u0000b"\n',
    ],
)
def test_wrong_configuration_is_refused_with_its_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"config\.toml"):
        _settings(address="127.0.0.1:1").options(_config(tmp_path, text))


def test_file_of_a_setting_is_read_no_further_than_a_setting_goes(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_text(" " * MAX_SETTING_BYTES + "\n")

    with pytest.raises(InvalidRequestError, match="has more than 65536 bytes"):
        read_key(str(large))
    with pytest.raises(MalformedError, match="has more than 65536 bytes"):
        _settings(api_key_file=large).options({"LOGPROOF_ADDRESS": "127.0.0.1:1"})
    with pytest.raises(MalformedError, match="has more than 65536 bytes"):
        _settings().options({"LOGPROOF_CONFIG": str(large)})


def test_configuration_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _settings(address="127.0.0.1:1").options({"LOGPROOF_CONFIG": str(tmp_path / "none.toml")})


def test_no_configuration_is_needed(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "LOGPROOF_ADDRESS": "127.0.0.1:1"}

    assert config_path(environment) == tmp_path / "logproof" / "config.toml"
    assert _settings().options(environment).timeout_seconds == DEFAULT_TIMEOUT_SECONDS
    assert _settings().options({"XDG_CONFIG_HOME": str(tmp_path)}).address == DEFAULT_ADDRESS
