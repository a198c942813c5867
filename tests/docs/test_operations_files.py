"""The files for other programs: alert rules name what the server measures, and the unit is one that systemd takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.cli.exit_codes import ExitCode
from ledger.telemetry.metrics import CertificateGauges, LogGauges, Metrics
from tests.support.documentation import ROOT, commands

_FOLDER = ROOT / "docs" / "operations"
_UNIT = _FOLDER / "logproof.service"
# What Prometheus itself adds to what it reads.
_ADDED_LABELS = {"instance", "job", "le"}
_HIGHEST_EXPOSURE = 2.5


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert rule."""

    name: str
    expression: str
    severity: str
    summary: str
    runbook: str


def _rules() -> list[Rule]:
    text = (_FOLDER / "alerts.yml").read_text(encoding="utf-8")
    blocks = re.split(r"^      - alert: ", text, flags=re.MULTILINE)[1:]

    def value(block: str, key: str) -> str:
        found = re.search(rf"^ +{key}: (.*)$", block, flags=re.MULTILINE)
        assert found is not None, f"{block.splitlines()[0]} has no {key}"
        return found[1].strip('"')

    return [
        Rule(block.splitlines()[0], *(value(block, key) for key in ("expr", "severity", "summary", "runbook")))
        for block in blocks
    ]


def _labels_by_metric() -> dict[str, set[str]]:
    metrics = Metrics(
        lambda: [LogGauges("default", 1, 1, 1, 1, is_read_only=False)],
        certificates=lambda: CertificateGauges(expires_at=1, are_refused=False),
        free_bytes=lambda: 1,
    )
    metrics.stepped("default", 1, 1, {"writerKey001": 1})
    metrics.refused("X", 1)
    metrics.called("m", "OK", 1)
    metrics.authentication_failed()
    metrics.scrubbed("default", 1)
    metrics.scrub_mismatch("default")
    metrics.query_unrecorded("default")
    text = metrics.exposition("")[0].decode()
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*?)\})? ", text, flags=re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def test_every_metric_and_label_of_a_rule_is_one_that_the_server_has() -> None:
    known = _labels_by_metric()
    for rule in _rules():
        metrics = set(re.findall(r"\blogproof_\w+", rule.expression))
        assert metrics <= known.keys(), rule.name
        assert metrics or rule.expression.startswith("up{"), rule.name
        labels = set().union(*(known[metric] for metric in metrics)) | _ADDED_LABELS
        grouped = {word for words in re.findall(r"\bby \((.*?)\)", rule.expression) for word in words.split(", ")}
        selected = set(re.findall(r"[{,]\s*(\w+)(?:=~|=|!=)", rule.expression))
        shown = set(re.findall(r"\$labels\.(\w+)", rule.summary))
        assert grouped | selected | shown <= labels, rule.name
        # What an expression sums away cannot be shown.
        assert not grouped or shown <= grouped, rule.name


def test_every_rule_says_how_bad_it_is_and_has_a_page_that_helps() -> None:
    rules = _rules()
    assert len(rules) >= 10
    assert len({rule.name for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.severity in {"critical", "warning"}, rule.name
        assert (ROOT / rule.runbook).is_file(), rule.name


def test_every_rule_is_in_the_operators_table() -> None:
    text = (ROOT / "docs" / "runbook" / "README.md").read_text(encoding="utf-8")
    assert [rule.name for rule in _rules() if f"`{rule.name}`" not in text] == []


def _run(program: str, package: str, *arguments: str | Path) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs the Debian package {package}")
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_takes_the_rules_and_they_fire_when_they_should() -> None:
    assert "SUCCESS" in _run("promtool", "prometheus", "check", "rules", _FOLDER / "alerts.yml")
    assert "SUCCESS" in _run("promtool", "prometheus", "test", "rules", _FOLDER / "alerts_test.yml")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Give the unit with a program that exists here."""
    copy = tmp_path / "logproof.service"
    copy.write_text(_UNIT.read_text("utf-8").replace("/opt/logproof/bin/logproof", sys.executable))
    return copy


def test_systemd_takes_the_unit(unit: Path) -> None:
    assert _run("systemd-analyze", "systemd", "verify", "--man=no", unit) == ""


def test_systemd_finds_little_that_the_unit_exposes(unit: Path) -> None:
    said = _run("systemd-analyze", "systemd", "security", "--offline=true", "--no-pager", unit)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) <= _HIGHEST_EXPOSURE


def test_the_unit_does_not_restart_what_a_restart_cannot_mend() -> None:
    settings = dict(re.findall(r"^(\w+)=(.*)$", _UNIT.read_text("utf-8"), flags=re.MULTILINE))
    assert settings["RestartPreventExitStatus"].split() == [
        str(int(code)) for code in (ExitCode.BAD_INPUT, ExitCode.STORAGE)
    ]
    assert settings["User"] != "root"
    assert settings["LimitCORE"] == "0"
    words = settings["ExecStart"].split()
    options = {flag for parameter in commands()["serve"].params for flag in parameter.opts}
    assert words[1] == "serve"
    assert {word for word in words if word.startswith("--")} <= options
