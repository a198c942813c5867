from __future__ import annotations

from pathlib import Path

import pytest

from ledger.errors import InvalidRequestError
from ledger.server.config import Address, ServerConfig, TlsFiles, parse_address

_TLS = TlsFiles(Path("cert.pem"), Path("key.pem"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7650", Address("127.0.0.1", 7650)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
        ("logs.example:443", Address("logs.example", 443)),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address) -> None:
    assert parse_address(text, "listen") == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "7650", ":7650", "host", "host:", "host:x", "host:65536", "host:-1", "host:+1", "::1:7650", "host:٣"]
)
def test_what_is_no_address_is_refused_with_its_setting_named(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^listen: .* is not HOST:PORT"):
        parse_address(text, "listen")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_without_tls_a_server_listens_on_loopback(host: str) -> None:
    ServerConfig(Path("data"), Address(host, 1), http=Address(host, 2))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "logs.example", "localhost.example"])
def test_without_tls_a_server_listens_on_nothing_else(host: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^listen: .* without TLS"):
        ServerConfig(Path("data"), Address(host, 1))
    with pytest.raises(InvalidRequestError, match=r"^http: .* without TLS"):
        ServerConfig(Path("data"), Address("127.0.0.1", 1), http=Address(host, 2))
    ServerConfig(Path("data"), Address(host, 1), http=Address(host, 2), tls=_TLS)


@pytest.mark.parametrize("prefix", ["", "with space", "with+plus", "x" * 201, "é", "a\nb"])
def test_an_origin_prefix_that_no_checkpoint_could_name_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidRequestError, match="origin_prefix"):
        ServerConfig(Path("data"), Address("127.0.0.1", 1), origin_prefix=prefix)
