"""Says how many tests of a tier ran and skipped; fails on too few, and on a skip that .ci/allowed-skips does not allow.

usage: python3 .ci/count_tests.py JUNIT.xml TIER [STATE...]

TIER: the tier's line in .ci/floors. STATE: what is true here and allows skips, in the words of .ci/allowed-skips.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

_ALLOWED_SKIPS = Path(__file__).with_name("allowed-skips")
_FLOORS = Path(__file__).with_name("floors")


def allowed_reasons(states: set[str]) -> list[str]:
    """Return the patterns that hold in `states`."""
    lines = _ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines()
    rules = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    return [pattern for state, pattern in rules if state in states]


def fewest(tier: str, states: set[str]) -> int:
    """Return the fewest tests that must run in a tier, given `states`."""
    lines = [line.split() for line in _FLOORS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    floors = {name: (int(everything), int(anywhere)) for name, everything, anywhere in filter(None, lines)}
    everything, anywhere = floors[tier]
    return anywhere if states else everything


def skip_reason(skipped: ET.Element) -> str:
    """Return why a test skipped; of a module that skipped as a whole, the reason it gave."""
    message = skipped.get("message", "")
    whole_module = re.search(r"Skipped: (.*?)['\"]\)$", (skipped.text or "").strip(), flags=re.DOTALL)
    return whole_module[1] if message == "collection skipped" and whole_module else message


def main() -> int:
    """Print the counts; return 1 where a skip is not allowed, or too few ran."""
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    cases = list(ET.parse(sys.argv[1]).iter("testcase"))  # noqa: S314 (pytest wrote it a moment ago)
    reasons = Counter(skip_reason(skipped) for case in cases for skipped in case.iter("skipped"))
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    skips = reasons.total()
    states = set(sys.argv[3:])
    ran, floor = len(cases) - skips, fewest(sys.argv[2], states)
    print(f"{ran} ran, {failed} failed, {skips} skipped")
    if ran < floor:
        print(f"  {ran} are fewer than the {floor} of .ci/floors: did some fall out?")
    patterns = allowed_reasons(states)
    refused = Counter[str]()
    allowed = Counter[str]()
    for reason, count in reasons.items():
        pattern = next((pattern for pattern in patterns if re.fullmatch(pattern, reason)), None)
        (refused if pattern is None else allowed)[pattern or reason] += count
    for reason, count in sorted(allowed.items()):
        print(f"  {count} skipped: {reason}")
    for reason, count in sorted(refused.items()):
        print(f"  {count} skipped, which .ci/allowed-skips does not allow here: {reason}")
    return 1 if refused or ran < floor else 0


if __name__ == "__main__":
    raise SystemExit(main())
