from __future__ import annotations

from tests.support.actions_page import COMMAND, PAGE, page_with_tables


def test_page_of_actions_is_that_of_the_catalogue() -> None:
    text = PAGE.read_text("utf-8")

    assert text == page_with_tables(text), f"docs/actions.md is out of date; write it anew: {COMMAND}"


def test_an_action_that_was_edited_on_the_page_is_found() -> None:
    text = PAGE.read_text("utf-8")
    edited = text.replace("| `auth.login.failed` *", "| `auth.login.refused` *")

    assert edited != text
    assert page_with_tables(edited) == text
