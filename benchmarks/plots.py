"""Growth curves as SVG: a line for each system over a logarithmic axis of sizes, drawn by hand.

The same curve gives the same bytes, so a test can tell whether a plot is that of the results.
"""

from __future__ import annotations

import math
from html import escape
from typing import Final

from benchmarks.record import Curve

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 20, 50, 60
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_TICKS: Final = 5


def draw(curve: Curve) -> str:
    """Return the plot of a curve that has points."""
    points = [point for line in curve.lines.values() for point in line]
    low = 10 ** math.floor(math.log10(min(x for x, _ in points)))
    high = 10 ** math.ceil(math.log10(max(x for x, _ in points)))
    if low == high:
        high *= 10
    top = _round_up(max(y for _, y in points))

    def across(x: float) -> float:
        share = (math.log10(x) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def up(y: float) -> float:
        return _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f"<title>{escape(curve.title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14" font-weight="bold">{escape(curve.title)}</text>',
    ]
    for tick in range(_TICKS + 1):
        value = top * tick / _TICKS
        y = up(value)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1):
        x = across(10**exponent)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}" stroke="#eee"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{_number(10**exponent)}</text>'
        )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 22}" text-anchor="middle">{escape(curve.x)}</text>'
    )
    parts.append(f'<text x="{_LEFT}" y="40">{escape(curve.y)}</text>')
    for number, (system, line) in enumerate(curve.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(line) < 20:
            parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>' for x, y in line]
        legend = _LEFT + 10 + number * 190
        parts.append(f'<rect x="{legend}" y="{_HEIGHT - 14}" width="12" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{legend + 18}" y="{_HEIGHT - 8}">{escape(system)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 2.5, 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)


def _number(value: float) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
