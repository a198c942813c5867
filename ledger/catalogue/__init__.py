"""The catalogue of actions: for each, its category, the controls that it is evidence for, and its place in OCSF.

Pure, but for reading the data that are part of the package.
"""

from __future__ import annotations

from ledger.catalogue.lookup import (
    CATEGORIES,
    OTHER,
    VERSIONS,
    catalogue,
    category_of,
    controls_of,
    find,
    nearest,
)
from ledger.catalogue.values import Action, Catalogue, Category, Ocsf

__all__ = [
    "CATEGORIES",
    "OTHER",
    "VERSIONS",
    "Action",
    "Catalogue",
    "Category",
    "Ocsf",
    "catalogue",
    "category_of",
    "controls_of",
    "find",
    "nearest",
]
