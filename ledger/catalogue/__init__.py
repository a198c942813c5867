"""Stub."""


def category_of(action: str, version: int) -> str | None:
    """Return."""
    del version
    return {"auth": "authentication", "data": "data"}.get(action.split(".", maxsplit=1)[0], "administrative")


def controls_of(action: str, version: int) -> tuple[str, ...]:
    """Return."""
    del version
    return ("CC6.1",) if action.startswith("auth") else ()
