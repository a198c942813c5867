from __future__ import annotations

import pytest

from ledger.events.actions import is_reserved, is_wellformed

_GOOD = (
    "user.role.updated",
    "api_key.created",
    "project.deleted",
    "a.b",
    "a.b.c.d",
    "a1.b2",
    "auth.mfa_totp.failed",
    "aws.ec2.describe_db_instances",
    "a_1.b",
    "a." + "b" * 126,
)
_BAD = (
    "",
    "user",
    "User.role",
    "user.Role",
    "a..b",
    ".a.b",
    "a.b.",
    "a.b.c.d.e",
    "api-key.created",
    "_a.b",
    "a_.b",
    "a__b.c",
    "a.1b",
    "1a.b",
    "a.b\n",
    " a.b",
    "a b.c",
    "usér.created",
    "a.\N{CYRILLIC SMALL LETTER A}",
    "a." + "b" * 127,
    "a" * 6400,
)


@pytest.mark.parametrize("action", _GOOD)
def test_s45_action_of_resource_sub_resource_verb_is_accepted(action: str) -> None:
    assert is_wellformed(action)


@pytest.mark.parametrize("action", _BAD)
def test_s45_action_outside_the_grammar_is_refused(action: str) -> None:
    assert not is_wellformed(action)


def test_only_actions_below_ledger_are_reserved() -> None:
    assert is_reserved("ledger.key.created")
    assert not is_reserved("ledger_book.opened")
    assert not is_reserved("user.ledger.opened")
