"""How a check of `doctor` ends: well, with a warning, or not, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Mark(Enum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One check.

    Attributes:
        name: What was looked at.
        mark: How it ended.
        detail: What was found.
        advice: What to do next; empty where nothing is to be done.
    """

    name: str
    mark: Mark
    detail: str
    advice: str = ""


def ok(name: str, detail: str) -> Diagnosis:
    """Return a check that ended well."""
    return Diagnosis(name, Mark.OK, detail)


def warn(name: str, detail: str, advice: str) -> Diagnosis:
    """Return a check that found what may become a problem."""
    return Diagnosis(name, Mark.WARN, detail, advice)


def fail(name: str, detail: str, advice: str) -> Diagnosis:
    """Return a check that found a problem."""
    return Diagnosis(name, Mark.FAIL, detail, advice)
