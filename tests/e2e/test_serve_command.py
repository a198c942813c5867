"""`logproof serve` as an operator runs it: a process, its words, its signals and its exit codes."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from ledger.cli.main import main
from ledger.v1 import ledger_pb2
from ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.support.calls import new_sections
from tests.support.engine_server import EngineServer
from tests.support.served import Served, run_logproof


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    yield server
    server.close()


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """Run a command in this process, which is right for one that never gets to serve."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str | Path) -> Ended:
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Ended(code, captured.out, captured.err)

    yield run
    root.handlers = handlers
    root.setLevel(level)


def _published(address: str, key: str, at_least: int) -> int:
    """Wait for a published size, and return what was published."""
    request = ledger_pb2.GetCheckpointRequest(log="default", kind=ledger_pb2.HEAD_KIND_PUBLISHED, at_least=at_least)
    with grpc.insecure_channel(address) as channel:
        answer = LedgerServiceStub(channel).GetCheckpoint(
            request, timeout=60, metadata=(("authorization", f"Bearer {key}"),)
        )
    return answer.checkpoint.tree_size


def test_a_server_publishes_by_its_publisher_and_ends_well_when_told(served: Served) -> None:
    assert served.said.endswith("ready\n")
    assert served.api_key not in served.said
    with grpc.insecure_channel(served.address) as channel:
        ack = (
            LedgerServiceStub(channel)
            .Append(
                ledger_pb2.AppendRequest(log="default", sections=new_sections()),
                metadata=(("authorization", f"Bearer {served.api_key}"),),
            )
            .acknowledgement
        )

    assert _published(served.address, served.api_key, ack.leaf_index + 1) == ack.leaf_index + 1
    assert served.stop() == 0
    assert served.api_key not in served.log_text


def test_ctrl_c_ends_server_and_publisher_and_frees_the_directory(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ledger.cli.main",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        str(tmp_path / "data"),
    ]
    for _ in range(2):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
        ) as server:
            assert server.stdout is not None
            for line in server.stdout:
                if line == "ready\n":
                    break
            # As a terminal does: to every process of the group.
            os.killpg(server.pid, signal.SIGINT)
            _, errors = server.communicate(timeout=60)

            assert server.returncode == 0, errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "0.0.0.0:0"], "without TLS"),
        (["--listen", "nowhere"], "not HOST:PORT"),
        (["--tls-cert", "x.pem"], "go together"),
        (["--tls-client-ca", "x.pem"], "go together"),
        (["--tls-cert", "none.pem", "--tls-key", "none.key"], "cannot be read"),
        (["--origin-prefix", "a b"], "origin_prefix"),
        (["--guard", "lax"], "Invalid value"),
    ],
    ids=["open", "address", "no key", "no certificate", "no file", "prefix", "guard"],
)
def test_a_setting_that_is_wrong_ends_with_2_and_makes_nothing(
    tmp_path: Path, run: Callable[..., Ended], arguments: list[str], words: str
) -> None:
    ended = run("serve", "--data", tmp_path / "data", *arguments)

    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("setting", ["--listen", "--http"])
@pytest.mark.parametrize("is_made", [False, True])
def test_a_port_that_is_taken_ends_with_2_and_leaves_things_as_they_were(
    tmp_path: Path, run: Callable[..., Ended], setting: str, *, is_made: bool
) -> None:
    if is_made:
        EngineServer(tmp_path / "data").close()
        (tmp_path / "data").chmod(0o700)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        free = [] if setting == "--listen" else ["--listen", "127.0.0.1:0"]

        ended = run("serve", "--data", tmp_path / "data", setting, address, *free)

    assert ended.code == 2
    assert f"cannot listen on {address}" in ended.err
    assert (tmp_path / "data").exists() == is_made
    # Not a word of gRPC's own.
    assert ".cc:" not in ended.err


@pytest.mark.parametrize(
    ("content", "words"),
    [('{"format": 2, "origin_prefix": "x"}', "format 2"), ("{", "does not have its form")],
    ids=["newer", "damaged"],
)
def test_data_that_cannot_be_read_ends_with_74_and_says_what_to_do(
    tmp_path: Path, run: Callable[..., Ended], content: str, words: str
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "logproof.json").write_text(content)

    ended = run("serve", "--data", data, "--listen", "127.0.0.1:0")

    assert ended.code == 74
    assert words in ended.err


def test_a_directory_that_others_may_read_ends_with_74_and_says_how_to_mend_it(
    tmp_path: Path, run: Callable[..., Ended]
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "logproof.json").write_text("{}")

    ended = run("serve", "--data", data, "--listen", "127.0.0.1:0")

    assert ended.code == 74
    assert f"chmod 700 {data}" in ended.err


@pytest.mark.ci
def test_a_second_server_waits_says_so_and_ends_with_74_naming_the_first(served: Served) -> None:
    ended = run_logproof("serve", "--data", served.data, "--listen", "127.0.0.1:0")

    assert ended.returncode == 74
    assert "waiting up to 10 s" in ended.stdout
    assert f"process {served.process.pid}" in ended.stderr
