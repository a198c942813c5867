"""Numbers on the command line: an index or a size has one spelling."""

from __future__ import annotations

import click


class Number(click.IntRange):
    """A number of a range, in ASCII digits without sign, space, underscore or leading zero."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; a default is one already."""
        number: int = super().convert(value, param, ctx)  # type: ignore[arg-type]
        if isinstance(value, str) and value != str(number):
            self.fail(f"{value!r} is not a number in its one spelling; write {number}", param, ctx)
        return number
