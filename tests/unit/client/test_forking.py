"""Nobody is inside gRPC while the process forks. Each case is a program: the tests' own process is not to be forked."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import os, threading
from ledger.client._forking import inside_grpc, stand_still_at_forks

class LongCall:
    def __init__(self):
        self.ended = threading.Event()
    def cancel(self):
        self.ended.set()

def fork():
    child = os.fork()
    if not child:
        with inside_grpc() as passage:
            os._exit(int(passage.was_interrupted))
    assert os.waitpid(child, 0)[1] == 0

def stay(call, may_end, told):
    is_inside = threading.Event()
    def wait():
        with inside_grpc() as passage:
            if call is not None:
                passage.begin(call)
            is_inside.set()
            assert may_end.wait(10)
            told.append(passage.was_interrupted)
    thread = threading.Thread(target=wait)
    thread.start()
    assert is_inside.wait(10)
    return thread

stand_still_at_forks()
told = []
"""

_CASES = {
    "a long call is ended and told why": """
call = LongCall()
thread = stay(call, call.ended, told)
fork()
thread.join(10)
assert told == [True], told
""",
    "a short call is waited for": """
may_end = threading.Event()
thread = stay(None, may_end, told)
threading.Timer(0.05, may_end.set).start()
fork()
assert told == [False], told
""",
    "who forks inside waits for nobody": """
with inside_grpc():
    fork()
with inside_grpc() as passage:
    assert not passage.was_interrupted
""",
}


@pytest.mark.parametrize("case", _CASES)
def test_before_a_fork(case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM + _CASES[case]], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
