from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.client import Ledger
from tests.support.both_clients import KINDS, Clients
from tests.support.lying_server import API_KEY, LyingServer


@pytest.fixture
def server() -> Iterator[LyingServer]:
    with LyingServer() as running:
        yield running


@pytest.fixture(params=KINDS)
def clients(request: pytest.FixtureRequest) -> Clients:
    """Give a maker of clients of each kind."""
    return Clients(request.param)


@pytest.fixture
def connect(server: LyingServer, clients: Clients, tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    """Give a maker of clients that pin the server's key and share a state directory."""
    made: list[Ledger] = []

    def new_client() -> Ledger:
        client = clients.new(
            server.address,
            api_key=API_KEY,
            verifier_key=server.verifier_key,
            state=tmp_path / "state",
            timeout_seconds=5,
        )
        made.append(client)
        return client

    yield new_client
    for client in made:
        client.close()


@pytest.fixture
def ledger(connect: Callable[[], Ledger]) -> Ledger:
    return connect()
