"""A real server in a process of its own, as an operator starts it, which a test may kill."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ledger.client import Ledger

_START_SECONDS = 60
_COMMAND = (sys.executable, "-m", "ledger.cli.main")


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def run_logproof(
    *arguments: str | Path, environment: dict[str, str] | None = None, timeout_seconds: float = 120, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command line and return what it printed."""
    return subprocess.run(
        [*_COMMAND, *map(str, arguments)],
        env={**os.environ, **(environment or {})},
        input=stdin,
        text=True,
        capture_output=True,
        timeout=timeout_seconds,
        check=False,
    )


class Served:
    """`logproof serve` on a data directory."""

    def __init__(
        self, folder: Path, *options: str, wrapper: Sequence[str] = (), variables: Mapping[str, str] | None = None
    ) -> None:
        """Start it; `wrapper` is what to run it under, such as strace, and `variables` are set in its environment."""
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._options = options
        self._wrapper = wrapper
        self._variables = variables or {}
        self._clients: list[Ledger] = []
        self.start()

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def api_key(self) -> str:
        """Return the first administrator's key."""
        return (self.data / "admin.key").read_text().strip()

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings of a client on the command line."""
        return {
            "LOGPROOF_ADDRESS": self.address,
            "LOGPROOF_API_KEY": self.api_key,
            "LOGPROOF_LOG": "default",
            "LOGPROOF_STATE": str(self.folder / "state"),
        }

    @property
    def log_text(self) -> str:
        """Return what the server has written."""
        return (self.folder / "serve.log").read_text()

    def wrap(self, wrapper: Sequence[str]) -> None:
        """Run the next process under another command."""
        self._wrapper = wrapper

    def start(self) -> None:
        """Start the process and wait until it says that it is ready."""
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self._wrapper,
                    *_COMMAND,
                    "serve",
                    "--data",
                    str(self.data),
                    "--listen",
                    self.address,
                    *self._options,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._variables},
            )
        out = self.process.stdout
        assert out is not None
        seen = b""
        while b"\nready\n" not in b"\n" + seen:
            readable, _, _ = select.select([out], [], [], _START_SECONDS)
            chunk = os.read(out.fileno(), 65_536) if readable else b""
            if not chunk:
                self.kill()
                raise AssertionError(f"the server did not get ready: {seen!r} {self.log_text[-2000:]}")
            seen += chunk
        self.said = seen.decode()

    def kill(self) -> None:
        """Kill the process as a crash would."""
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        """Ask the process to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self) -> int:
        code = self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def client(self, **options: object) -> Ledger:
        """Return a client of the log `default` that pins its verifier key."""
        client = Ledger(
            self.address,
            api_key=self.api_key,
            verifier_key=self.verifier_key(),
            state=self.folder / "state",
            **options,  # type: ignore[arg-type]
        )
        self._clients.append(client)
        return client

    def verifier_key(self, log: str = "default") -> str:
        """Return a log's verifier key, from the server's own files as an operator would."""
        from ledger.notes.keys import format_verifier_key, parse_signer_key

        signer = parse_signer_key((self.data / "keys" / f"{log}.key").read_text().strip())
        return format_verifier_key(signer.verifier)

    def close(self) -> None:
        """End the clients and the process, however they stand."""
        for client in self._clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
        self._reap()
