"""Comparisons of results: which cases count, what is tested, tables that say the same, a figure, the command."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import typer
from rep3d.commands import compare as command
from rep3d.errors import BadInput
from rep3d.evaluation.compare import CompareOptions, compare
from rep3d.evaluation.results import as_result
from rep3d.evaluation.statistics import holm, wilcoxon_paired
from rep3d.evaluation.tables import as_latex, as_markdown, number, p_text, tex
from typer.testing import CliRunner

LABELS = ("left_organ", "right")


def record(name, dice, ids=None, task="msd-hippocampus", data="ab" * 32, **changes):
    """A version 1 result file: ``dice`` [cases, 2] with None where undefined."""
    ids = ids or [f"case_{i:02d}" for i in range(len(dice))]
    rows = [
        {"id": case, "dice": {"native": dict(zip(LABELS, row, strict=True))}}
        for case, row in zip(ids, dice, strict=True)
    ]
    summary = {"native": {"per_class": dict.fromkeys(LABELS, 0.5)}}
    subject = {"weights": name, "sha256": "00"}
    values = {"subject": subject, "task": task, "split": "test", "data_sha256": data, "cases": rows, "summary": summary}
    return values | changes


def scores(cases, shift=0.0, seed=0):
    values = np.random.default_rng(0).uniform(0.6, 0.9, (cases, 2)) + shift
    values += np.random.default_rng(seed).normal(0, 0.01, values.shape)
    return np.round(values, 5).tolist()


def run(*records, **options):
    return compare([as_result(r) for r in records], CompareOptions(**options))


def test_every_pair_and_structure_is_tested_and_corrected_over_all():
    a, b, c = (scores(12, shift, seed) for shift, seed in ((0, 1), (0.05, 2), (0.001, 3)))
    found = run(record("a", a), record("b", b), record("c", c))
    assert found.structures == ("left_organ", "right", "mean") and found.family == 9 and not found.warnings
    expected = [wilcoxon_paired(np.array(x)[:, 0], np.array(y)[:, 0]).p for x, y in ((a, b), (a, c), (b, c))]
    assert [t.wilcoxon.p for t in found.tests[:3]] == expected
    assert [t.p_holm for t in found.tests] == holm([t.wilcoxon.p for t in found.tests])
    first = found.tests[0]
    assert (first.first, first.second, first.better, first.effect) == ("a", "b", "b", -1.0)
    assert first.difference.low <= first.difference.median <= first.difference.high < 0
    mean = next(t for t in found.tests if t.structure == "mean")
    assert mean.wilcoxon.p == wilcoxon_paired(np.mean(a, 1), np.mean(b, 1)).p


def test_a_reference_and_the_mean_alone_make_smaller_families():
    records = [record(n, scores(8, 0, i)) for i, n in enumerate("abc")]
    found = run(*records, reference="b")
    assert [(t.first, t.second) for t in found.tests[:2]] == [("a", "b"), ("c", "b")] and found.family == 6
    assert run(*records, by="mean").family == 3
    assert "the mean, each pair" in run(*records, by="mean").notes[0]


def test_only_common_cases_count_and_the_others_are_named():
    values = scores(6)
    ids = [f"p{i}" for i in range(6)]
    a, b = record("a", values, ids), record("b", values[:1] + values[3:], ids[:1] + ids[3:])
    b["cases"].reverse()  # matched by id, never by place
    c = record("c", [*values, [0.1, 0.1]], [*ids, "extra"])
    found = run(a, b, c)
    assert found.cases == ("p0", "p3", "p4", "p5")
    assert found.dropped == {"p1": "not in b", "p2": "not in b", "extra": "not in a, b"}
    assert all(t.wilcoxon.zeros == 4 and t.wilcoxon.p == 1 and not t.better for t in found.tests)
    assert "extra: not in a, b" in as_markdown(found)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (dict(task="kits"), "task"),
        (dict(ids=["x", "y", "z"]), "no case in common"),
    ],
)
def test_results_that_cannot_be_of_the_same_are_refused(other, words):
    with pytest.raises(BadInput, match=words):
        run(record("a", scores(3)), record("b", scores(3), **other))


def test_other_structures_names_and_options_are_refused():
    a, b = record("a", scores(3)), record("b", scores(3))
    b["summary"]["native"]["per_class"] = {"left_organ": 1}
    for row in b["cases"]:
        del row["dice"]["native"]["right"]
    with pytest.raises(BadInput, match="structures"):
        run(a, b)
    with pytest.raises(BadInput, match="one name"):
        run(a, a)
    with pytest.raises(BadInput, match="1 results"):
        run(a)
    for options, words in (
        (dict(metric="iou"), "iou"), (dict(by="case"), "case"), (dict(reference="z"), "none of the results"),
        (dict(level=1.0), "level"), (dict(empty="zero"), "zero"), (dict(metric="nsd"), "no metric"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=words):
            run(record("a", scores(3)), record("b", scores(3)), **options)


def test_other_data_are_a_loud_warning_or_an_error():
    a, b = record("a", scores(4)), record("b", scores(4), data="cd" * 32)
    found = run(a, b)
    assert len(found.warnings) == 1 and "DIFFERENT DATA" in found.warnings[0]
    assert "**Warning.**" in as_markdown(found) and as_latex(found).startswith("% WARNING")
    for rec in (a, b):
        for row in rec["cases"]:
            row |= {"image_sha256": "1", "label_sha256": "2"}
    assert not run(a, b).warnings, "another fold of the same files"
    b["cases"][2]["label_sha256"] = "3"
    with pytest.raises(BadInput, match="other files for 1 cases, first 'case_02'"):
        run(a, b)
    assert "of 'val'" in run(record("a", scores(3)), record("b", scores(3), split="val")).warnings[0]


def test_undefined_values_are_left_out_of_all():
    a, b, c = (record(n, scores(5, 0, i)) for i, n in enumerate("abc"))
    b["cases"][1]["dice"]["native"]["right"] = None
    found = run(a, b, c)
    assert [s.cases for s in found.summaries if s.name == "a"] == [5, 4, 5]
    assert found.values["c"][1, 2] == a_mean(c, 1, ["left_organ"]) and found.values["c"][0, 2] == a_mean(c, 0, LABELS)
    assert "1 of 10 values" in " ".join(found.notes)
    kept = run(a, b, c, empty="one")
    assert [s.cases for s in kept.summaries if s.name == "a"] == [5, 5, 5] and kept.values["b"][1, 1] == 1


def a_mean(rec, row, keys):
    return np.mean([rec["cases"][row]["dice"]["native"][key] for key in keys])


def test_small_n_is_said_honestly():
    notes = " ".join(run(record("a", scores(6)), record("b", scores(6, 0.2)), by="mean").notes)
    assert "smallest p possible" not in notes  # 0.031 for one test
    found = run(record("a", scores(6)), record("b", scores(6, 0.2)))
    assert "n = 6 differing pairs: the smallest p possible is 0.031, 0.094 after correction over 3 tests" in " ".join(
        found.notes
    )
    assert not any(t.better for t in found.tests) and all(abs(t.effect) == 1 for t in found.tests)


def test_lower_is_better_for_distances_and_the_sign_of_a_volume_error_does_not_count():
    def second(name, sign):
        rows = [
            {"id": f"c{i}", "metrics": {"native": {k: {"hd95_mm": 3.0 + sign + i / 9, "volume_error_ml": sign * (1 + i)}
                                                   for k in LABELS}}}
            for i in range(9)
        ]  # fmt: skip
        return record(name, scores(9), format="rep3d-evaluation", version=2) | {"cases": rows}

    found = run(second("far", 1), second("near", -1), metric="hd95")
    assert {t.better for t in found.tests} == {"near"} and found.tests[0].effect == 1
    assert {t.wilcoxon.zeros for t in run(second("far", 1), second("near", -1), metric="volume_error").tests} == {9}


def test_tables_hold_the_same_numbers_and_escape_names():
    found = run(record("net_1 & 50%", scores(9)), record("b|c", scores(9, 0.03)))
    text, latex = as_markdown(found), as_latex(found)
    mean = number(found.summaries[0].mean.mean)
    assert mean in text and mean in latex
    assert r"net\_1 \& 50\%" in latex and "b\\|c" in text and "net\\_1" in text
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == 2
    columns = {line.count("&") - line.count("\\&") for line in latex.splitlines() if line.endswith("\\\\")}
    assert columns == {3, 7}
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") - line.count("\\|") for line in table} == {5, 10}
    bold = [line for line in latex.splitlines() if "\\textbf" in line]
    assert len(bold) == 3 and all(line.index("textbf") > line.index("[") for line in bold)  # the second is best


def test_numbers_as_text():
    assert [p_text(p) for p in (0.5, 0.0312, 0.00003, math.nan)] == ["0.50", "0.031", "<0.0001", "-"]
    assert [number(v) for v in (0.8734, 12.345, 123.45, math.nan)] == ["0.873", "12.35", "123.5", "-"]
    assert number(0.01, True) == "+0.0100" and tex("a_b\\") == r"a\_b\textbackslash{}"


def invoke(*arguments):
    app = typer.Typer()
    command.register(app)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_command(tmp_path):
    paths = []
    for i, folder in enumerate(("run ä", "run b")):
        paths.append(tmp_path / folder / "test.json")
        paths[-1].parent.mkdir()
        paths[-1].write_text(json.dumps(record("same", scores(7, 0.1 * i), data="cd"[i] * 64)), encoding="utf-8")
    out = tmp_path / "out"
    done = invoke(*paths, "-o", out, "--reference", paths[1])
    assert done.exit_code == 0, done.output
    assert "WARNING" in done.output and "Holm" in done.output
    names = sorted(p.name for p in out.iterdir())
    assert names == sorted(
        ["boxes.png", "comparison.json", "comparison.md", "comparison.tex", "summary.csv", "tests.csv", "values.csv"]
    )
    data = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert (data["format"], data["version"], data["family"]) == ("rep3d-comparison", 1, 3)
    assert data["results"] == [str(p) for p in paths] and len(data["provenance"]["hashes"]) == 2
    with open(out / "values.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 21 and float(rows[0][str(paths[0])]) == data["values"][0][str(paths[0])]
    from PIL import Image

    assert min(Image.open(out / "boxes.png").size) > 400
    named = invoke(*paths, "-o", out, "--names", "A,B", "--by", "mean")
    assert named.exit_code == 0 and json.loads((out / "comparison.json").read_text())["results"] == ["A", "B"]
    assert isinstance(invoke(*paths, "-o", out, "--names", "A").exception, BadInput)
    assert isinstance(invoke(paths[0], "-o", tmp_path / "one").exception, BadInput)


def test_a_figure_of_many_structures_and_results(tmp_path):
    """Panels wrap into rows; a class that is never defined is an empty panel, not an error."""
    from PIL import Image
    from rep3d.figures.boxes import boxes

    records = [record(f"network {i}", scores(3, 0.01 * i, i)) for i in range(8)]
    for rec in records:
        for row in rec["cases"]:
            row["dice"]["native"]["right"] = None
    boxes(tmp_path / "boxes.png", run(*records))
    width, height = Image.open(tmp_path / "boxes.png").size
    assert width < 2000 and height > 1000
