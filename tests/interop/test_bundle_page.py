"""The page of a bundle: its script against the installed verifier, and the page itself in a browser."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events.event import Event
from ledger.events.flat import to_flat
from ledger.events.wire import read_event, read_personal
from tests.interop.javascript import python_section
from tests.interop.test_bundle_script import CASES, RFC_VECTORS, SECTIONS, odd_signatures, script
from tests.support.bundles import Case
from tests.support.chromium import Page, browser, find_chromium
from tests.support.documentation import ROOT

PAGE = ROOT / "ledger" / "client" / "bundle_files" / "verify.html"
Ask = Callable[[dict[str, object]], Any]


@pytest.fixture(scope="module")
def ask(node: str) -> Iterator[Ask]:
    """Give the page's script as a process that answers."""
    command = [node, str(Path(__file__).with_name("answer_bundles.mjs")), str(PAGE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:

        def call(question: dict[str, object]) -> Any:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield call
        ended = process.poll()
        process.kill()
    assert ended is None, "the process ended by an error that is no verdict"


@pytest.mark.parametrize("name", CASES)
def test_page_gives_the_verdict_of_the_others(name: str, ask: Ask, tmp_path: Path) -> None:
    case = CASES[name]
    since = tmp_path / "old.note"
    since.write_bytes(case.since or b"")
    bundle = case.write(tmp_path / "bundle.zip")

    answer = ask(
        {"bundle": str(bundle), "key": case.key, "since": str(since) if case.since else None, "quick": case.quick}
    )

    assert answer["code"] == case.code, answer
    assert answer["first"].startswith(case.level)
    assert bool(answer["first"]) == bool(case.level)
    assert "cannot verify" not in answer["reason"]


def _encoded(*values: bytes) -> list[str]:
    return [base64.b64encode(value).decode() for value in values]


def test_page_judges_signatures_as_the_script_does(ask: Ask) -> None:
    tried = [tuple(bytes.fromhex(text) for text in vector) for vector in RFC_VECTORS]
    message = tried[2][1]
    tried += [(key, message, signature) for key, signature in odd_signatures()[::9]]

    assert [ask({"signature": _encoded(*parts)}) for parts in tried] == [
        script.ed25519_is_valid(*parts) for parts in tried
    ]


@pytest.mark.parametrize("kind", ["event", "personal"])
@given(data=st.data())
def test_page_reads_sections_as_ours_does(kind: Any, data: st.DataObject, ask: Ask) -> None:
    section = bytearray(data.draw(st.sampled_from(SECTIONS[kind])))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(section)))
        section[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    ours = python_section(kind, bytes(section))

    theirs = ask({"section": [{"event": "Event", "personal": "PersonalData"}[kind], *_encoded(bytes(section))]})

    if isinstance(ours, str):
        assert theirs == ours
    else:
        event = read_event(bytes(section)) if kind == "event" else Event()
        flat = to_flat(event, None if kind == "event" else read_personal(bytes(section)))
        assert theirs == json.dumps(flat, ensure_ascii=False, separators=(",", ":"))


def test_page_may_run_its_own_script_and_load_nothing() -> None:
    spec = importlib.util.spec_from_file_location("page_hashes", ROOT / ".ci" / "page_hashes.py")
    assert spec is not None
    assert spec.loader is not None
    hashes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hashes)
    page = PAGE.read_text()

    assert hashes.with_hashes(page) == page, "run .ci/page_hashes.py"
    assert "default-src 'none'" in page
    assert "innerHTML" not in page
    assert not re.search(r"(src|href)=", page)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = find_chromium()
    if program is None:
        pytest.skip("needs the Debian package chromium")
    if shutil.which("bash") is None:
        pytest.skip("needs the Debian package bash")
    with browser(program, tmp_path_factory.mktemp("profile")) as opened:
        opened.open(PAGE.as_uri())
        yield opened


def _judge(page: Page, case: Case, folder: Path) -> str:
    page.choose_file("#bundle", case.write(folder / "bundle.zip"))
    page.run(f"document.getElementById('key').value = {json.dumps(case.key)}")
    page.run(f"document.getElementById('unpinned').checked = {json.dumps(not case.key)}")
    page.run("document.getElementById('verify').click()")
    said: str = page.run(
        """new Promise((done) => {
          const look = () => {
            const said = document.getElementById('verdict').textContent;
            if (said.startsWith('Verifying')) setTimeout(look, 10); else done(said);
          };
          look();
        })"""
    )
    return said


@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("good", "VERIFIED: pinned key, tail unproven"),
        ("unpinned", "VERIFIED: UNPINNED; key fingerprint "),
        ("withheld", "INCOMPLETE: pinned key, tail unproven; incomplete"),
        ("events.ndjson: one twice", "FAILED: the row of entry "),
        ("two ends", "FORK: "),
        ("zip: bomb", "FAILED: "),
    ],
)
def test_browser_shows_the_verdict(name: str, verdict: str, page: Page, tmp_path: Path) -> None:
    assert _judge(page, CASES[name], tmp_path).startswith(verdict)


@pytest.mark.ci
def test_browser_shows_events_as_text_that_does_nothing(page: Page, tmp_path: Path) -> None:
    _judge(page, CASES["good"], tmp_path)

    assert page.run("document.title") == "Verify an evidence bundle"
    assert page.run("document.querySelectorAll('#events tr').length") == 9
    assert "<script>document.title" in page.run("document.getElementById('events').textContent")
    assert page.run("document.querySelectorAll('#events script').length") == 0


@pytest.mark.ci
def test_browser_loads_nothing_but_the_page(page: Page, tmp_path: Path) -> None:
    _judge(page, CASES["good"], tmp_path)

    refused = page.run("fetch('http://127.0.0.1:9/').then(() => 'loaded', () => 'refused')")

    assert refused == "refused"
    assert [url for url in page.requests if not url.startswith(("file:", "blob:", "data:"))] in (
        [],
        ["http://127.0.0.1:9/"],
    )
