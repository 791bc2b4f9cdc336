"""What is wrong with a data set, all of it at once: findings, and the report of them as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rep3d.files import write_text

FORMAT, VERSION = "rep3d-integrity", 1
SHOWN_IDS = 8  # ids that a line of the text names; the JSON has all


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. ``code`` is from a closed list (docs/data.md); ``cases`` are the ids that it concerns.

    An error stops the preparation unless its cases are left out; an error without cases always stops it. With
    ``keep_one`` (duplicates) one of the cases may stay, the first one if none of them is left out for another reason.
    """

    severity: str  # "error" or "warning"
    code: str
    message: str
    cases: tuple[str, ...] = ()
    keep_one: bool = False

    def to_drop(self, gone: Collection[str]) -> tuple[str, ...]:
        """Ids that have to go as well, beside those in ``gone``, to settle the finding."""
        left = tuple(key for key in self.cases if key not in gone)
        return left[1:] if self.keep_one else left

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"severity": self.severity, "code": self.code, "cases": list(self.cases), "message": self.message}


def error(code: str, message: str, *cases: str, keep_one: bool = False) -> Finding:
    """A finding that stops the preparation."""
    return Finding("error", code, message, tuple(cases), keep_one)


def warning(code: str, message: str, *cases: str) -> Finding:
    """A finding that is only reported."""
    return Finding("warning", code, message, tuple(cases))


@dataclass(frozen=True)
class Report:
    """All findings about a data set, with what was recognised and which cases were left out and why (id -> reason)."""

    source: str
    task: str
    recognised: tuple[str, ...]
    checked: int
    findings: tuple[Finding, ...]
    excluded: dict[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        """Errors that the exclusions do not settle."""
        return [f for f in self.findings if f.severity == "error" and (not f.cases or f.to_drop(self.excluded.keys()))]

    def to_dict(self) -> dict[str, Any]:
        """The content of integrity.json."""
        open_errors = self.errors
        return {
            "format": FORMAT,
            "version": VERSION,
            "source": self.source,
            "task": self.task,
            "recognised": list(self.recognised),
            "cases_checked": self.checked,
            "counts": {
                "errors": len(open_errors),
                "errors_excluded": sum(f.severity == "error" for f in self.findings) - len(open_errors),
                "warnings": sum(f.severity == "warning" for f in self.findings),
            },
            "excluded": [{"id": key, "reason": why} for key, why in sorted(self.excluded.items())],
            "findings": [
                {**f.to_dict(), "settled": f.severity == "error" and f not in open_errors} for f in self.findings
            ],
        }

    def to_text(self) -> str:
        """The content of integrity.txt: errors first, then warnings, with counts by kind."""
        open_errors = self.errors
        lines = [f"Integrity of {self.source}", f"Task: {self.task}", *self.recognised]
        lines += [f"{self.checked} cases checked.", ""]
        groups = (
            ("Errors", open_errors),
            ("Errors of cases that are left out", [f for f in self.findings if f.severity == "error"]),
            ("Warnings", [f for f in self.findings if f.severity == "warning"]),
        )
        for title, group in groups:
            if title.startswith("Errors of"):
                group = [f for f in group if f not in open_errors]
            if not group:
                continue
            kinds = ", ".join(f"{code} {n}" for code, n in sorted(Counter(f.code for f in group).items()))
            lines += [f"{title}: {len(group)} ({kinds})"]
            lines += [f"  [{f.code}] {_who(f)}{f.message}" for f in group]
            lines.append("")
        if self.excluded:
            lines.append(f"Left out: {len(self.excluded)}")
            lines += [f"  {key}: {why}" for key, why in sorted(self.excluded.items())]
            lines.append("")
        if not self.findings:
            lines += ["Nothing found.", ""]
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        """Write integrity.json and integrity.txt into ``folder``. Raises OutputFailed."""
        write_text(folder / "integrity.json", json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")
        write_text(folder / "integrity.txt", self.to_text())


def _who(finding: Finding) -> str:
    if not finding.cases:
        return ""
    more = len(finding.cases) - SHOWN_IDS
    return ", ".join(finding.cases[:SHOWN_IDS]) + (f" and {more} more" if more > 0 else "") + ": "


def sort_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors first, then by code and case: the same order on every run."""
    return tuple(sorted(findings, key=lambda f: (f.severity != "error", f.code, f.cases, f.message)))
