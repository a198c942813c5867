"""The tables of docs/actions.md, from the data of the catalogue.

`python -m tests.support.actions_page` writes them anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ledger.catalogue import Action, Catalogue, catalogue
from ledger.events.actions import CATALOGUE_VERSION, is_reserved
from tests.support.documentation import ROOT

PAGE: Final = ROOT / "docs" / "actions.md"
COMMAND: Final = "python -m tests.support.actions_page"

_BEGIN: Final = "<!-- catalogue -->\n"
_END: Final = "<!-- end of the catalogue -->"


def page_with_tables(text: str) -> str:
    """Return the page with the tables as the data have them."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin
    assert end
    known = catalogue(CATALOGUE_VERSION)
    assert known is not None
    return before + begin + "\n".join(_tables(known)) + "\n" + end + after


def _tables(known: Catalogue) -> Iterator[str]:
    yield "\n## Controls\n\n| control | in our words |\n|---|---|"
    yield from (f"| {control} | {words} |" for control, words in known.controls.items())
    clients = [action for action in known.actions.values() if not is_reserved(action.name)]
    for category in known.categories.values():
        yield f"\n## {category.name.capitalize()}\n\n{category.summary}\n"
        yield "| action | what happened | controls | OCSF | should have |\n|---|---|---|---|---|"
        yield from _rows(action for action in clients if action.category == category.name)
    yield "\n## Written by the server\n"
    yield "A client that sends an action that begins with `ledger.` is refused. Some of these come with later versions.\n"
    yield "| action | what happened | controls | OCSF | category |\n|---|---|---|---|---|"
    for action in known.actions.values():
        if is_reserved(action.name):
            yield f"| `{action.name}` | {action.summary} | {_controls(action)} | {_ocsf(action)} | {action.category} |"


def _rows(actions: Iterable[Action]) -> Iterator[str]:
    for action in actions:
        mark = " *" if action.is_core else ""
        keys = ", ".join(f"`{key}`" for key in action.requires)
        yield f"| `{action.name}`{mark} | {action.summary} | {_controls(action)} | {_ocsf(action)} | {keys} |"


def _controls(action: Action) -> str:
    said = (f"{control} ({', '.join(points)})" if points else control for control, points in action.points.items())
    return "; ".join(said)


def _ocsf(action: Action) -> str:
    place = action.ocsf
    return f"{place.class_uid}/{place.activity_id} {place.class_name}: {place.activity_name}"


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text("utf-8")), "utf-8")
