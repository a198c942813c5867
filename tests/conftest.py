"""What every test runs under: how hard properties are tried, and an environment without a user's settings."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The default suite is the same on every run and every machine; `pytest -m long --hypothesis-profile=long` searches.
settings.register_profile("default", max_examples=50, derandomize=True, database=None, deadline=None)
settings.register_profile("long", max_examples=20_000, deadline=None, print_blob=True)
settings.load_profile("default")


@pytest.fixture(scope="session", autouse=True)
def no_user_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the user of this machine has set, and has stored, out of the tests and safe from them."""
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.startswith("LOGPROOF_") and not name.startswith(("LOGPROOF_SHARED", "LOGPROOF_LONG_")):
                environment.delenv(name)
        home = tmp_path_factory.mktemp("home")
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            environment.setenv(name, str(home / name.lower()))
        yield
