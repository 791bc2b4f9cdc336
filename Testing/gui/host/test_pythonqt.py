"""The host answers as a real PythonQt did: pythonqt_answers.txt holds questions and answers."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Question:
    """``code``: its last statement is what is asked for; ``answer``: of the real one, or the host's own on purpose."""

    code: str
    answer: str


def read() -> dict[str, tuple[list[str], list[Question]]]:
    """{group: (lines that prepare it, questions)}"""
    groups: dict[str, tuple[list[str], list[Question]]] = {}
    for line in (Path(__file__).with_name("pythonqt_answers.txt")).read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            groups[line[3:]] = ([], [])
        elif line and not line.startswith("#"):
            prepare, questions = groups[list(groups)[-1]]
            code, arrow, answer = line.partition(" -> ")
            _real, otherwise, own = answer.partition(" => ")
            if not arrow:
                prepare.append(line)
                continue
            assert not otherwise or " | " in own, f"a reason is missing: {line}"
            questions.append(Question(code, own.partition(" | ")[0] if otherwise else answer))
    return groups


def plain(value: Any) -> Any:
    """Enumerations as numbers, objects by their class."""
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value if isinstance(value, str | bytes | float | bool | None) else f"A {type(value).__name__}"


def ask(code: str, names: dict[str, Any]) -> str:
    statements = ast.parse(code).body
    last = statements.pop() if isinstance(statements[-1], ast.Expr) else None
    try:
        exec(compile(ast.Module(statements, []), "question", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "question", "eval"), names) if last is not None else None
    except Exception as error:
        return f"! {type(error).__name__}: {error}"
    return repr(plain(value))


def same(answer: str, expected: str) -> bool:
    """Errors by their type and the beginning of their message, values exactly."""
    return answer.startswith(expected) if expected[0] == "!" else answer == repr(ast.literal_eval(expected))


@pytest.mark.parametrize("group", read())
def test_answers_are_those_of_pythonqt(slicer_host, group):
    import ctk
    import qt

    prepare, questions = read()[group]
    names: dict[str, Any] = {"qt": qt, "ctk": ctk, "np": np, "Path": Path}
    exec("\n".join(prepare), names)
    answers = [(question, ask(question.code, names)) for question in questions]
    wrong = [f"{q.code}: {got}, not {q.answer}" for q, got in answers if not same(got, q.answer)]
    assert not wrong, "\n".join(wrong)
