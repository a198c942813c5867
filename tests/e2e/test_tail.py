"""`tail` through real servers: nothing left out over restarts, and where to go on after any end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.served import Served, run_logproof

pytestmark = pytest.mark.ci


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    yield server
    server.close()


def _append(served: Served, count: int) -> list[int]:
    writer = served.client()
    return [receipt.leaf_index for receipt in writer.append_batch([{"action": "user.created"}] * count)]


def test_the_end_of_a_log_is_followed_over_a_crash_and_a_restart_without_a_gap(served: Served) -> None:
    begin = _append(served, 3)[0]
    followed = served.client(timeout_seconds=60).tail(begin)
    seen = [next(followed).leaf_index for _ in range(3)]

    for end in (served.kill, served.stop):
        end()
        served.start()
        more = _append(served, 2)
        seen += [next(followed).leaf_index for _ in more]

    assert seen == list(range(begin, begin + 7))


def test_without_a_start_only_what_comes_is_shown(served: Served) -> None:
    _append(served, 5)
    reader = served.client()
    followed = reader.tail()
    before = reader.checkpoint().checkpoint.tree_size

    def first() -> int:
        return next(followed).leaf_index

    # The generator begins with its first `next`, which is why the size was asked for by `tail` itself.
    (appended,) = _append(served, 1)

    assert first() == appended == before


def test_what_there_is_can_be_shown_without_following(served: Served) -> None:
    last = _append(served, 30)[-1]

    default = run_logproof("tail", "--no-follow", "--format", "ndjson", environment=served.environment)
    since = run_logproof("tail", "--since", str(last - 1), "--no-follow", environment=served.environment)

    shown = [json.loads(line) for line in default.stdout.splitlines()]
    assert [entry["leaf_index"] for entry in shown] == list(range(last - 9, last + 1))
    assert {entry["event"]["action"] for entry in shown} == {"user.created"}
    assert [line.split()[0] for line in since.stdout.splitlines()] == [str(last - 1), str(last)]
    assert f"logproof tail --since {last + 1}" in since.stderr
    assert (default.returncode, since.returncode) == (0, 0)


def test_ctrl_c_ends_it_and_tells_where_to_go_on(served: Served) -> None:
    begin = _append(served, 3)[0]
    command = [sys.executable, "-m", "ledger.cli.main", "tail", "--since", str(begin), "--format", "ndjson"]
    with subprocess.Popen(
        command, env={**os.environ, **served.environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())["leaf_index"] for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)

    resume = re.search(r"logproof tail --since (\d+)", errors)
    assert (seen, rest, process.returncode) == ([begin, begin + 1, begin + 2], "", 130)
    assert resume is not None
    # The last entry may have been shown and not counted yet; it is shown twice then, and none is left out.
    assert int(resume[1]) in {begin + 2, begin + 3}
    assert "Traceback" not in errors


def test_a_server_that_stays_away_ends_it_in_words_and_tells_where_to_go_on(served: Served) -> None:
    begin = _append(served, 2)[0]
    command = [sys.executable, "-m", "ledger.cli.main", "tail", "--since", str(begin), "--timeout", "1"]
    with subprocess.Popen(
        command, env={**os.environ, **served.environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(2):
            process.stdout.readline()
        served.kill()
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 5
    assert f"logproof tail --since {begin + 2}" in errors
