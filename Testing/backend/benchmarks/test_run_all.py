"""The runner of the benchmarks: what it compares, what it keeps, and its exit code, with scripts of a few lines."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks"
SCRIPT = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true")
parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "results" / "{name}.json")
options = parser.parse_args()
ratios = {ratios} if not options.quick else {{"a": 1.0}}
options.out.write_text(json.dumps({{"machine": {{}}, "rows": [], "ratios": ratios}}))
sys.exit({code})
"""


@pytest.fixture(scope="module")
def run_all():
    spec = importlib.util.spec_from_file_location("run_all_benchmark", FOLDER / "run_all.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def bench(run_all, tmp_path, capfd):
    """bench(names, ...) -> exit code and what was printed; ``bench.script`` and ``bench.stored`` prepare."""
    results = tmp_path / "results"
    results.mkdir()

    def call(*names, quick=False, tolerance=0.15, strict=False):
        code = run_all.run(names, quick=quick, tolerance=tolerance, strict=strict, scripts=tmp_path)
        return code, capfd.readouterr().out

    def script(name, ratios, code=0):
        (tmp_path / f"{name}.py").write_text(SCRIPT.format(name=name, ratios=ratios, code=code), encoding="utf-8")

    def stored(name, ratios=None):
        path = results / f"{name}.json"
        if ratios is not None:
            path.write_text(json.dumps({"machine": {}, "rows": [], "ratios": ratios}), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))["ratios"] if path.exists() else None

    call.script, call.stored, call.results = script, stored, results
    return call


def test_changes(run_all):
    old = {"same": 2.0, "little": 2.0, "fell": 2.0, "rose": 2.0, "gone": 2.0, "broken": 2.0}
    new = {"same": 2.0, "little": 1.75, "fell": 1.6, "rose": 2.4, "new": 3.0, "broken": float("nan")}
    changes = {c.ratio: c for c in run_all.compare("b", old, new, 0.15)}
    verdicts = {name: c.verdict for name, c in changes.items()}
    assert verdicts == {
        "same": "", "little": "", "fell": "fell", "rose": "rose", "new": "new", "broken": "fell", "gone": "gone",
    }  # fmt: skip
    assert changes["fell"].change == pytest.approx(-0.2) and changes["new"].change is changes["gone"].change is None
    wider = {c.ratio: c.verdict for c in run_all.compare("b", old, new, 0.25, partly=True)}
    assert wider["fell"] == wider["rose"] == "" and "gone" not in wider


def test_results_are_replaced_and_changes_shown(bench):
    bench.stored("one", {"speed of it": 4.0})
    bench.script("one", {"speed of it": 3.0, "another": 1.5})
    code, text = bench("one")
    assert code == 0 and bench.stored("one") == {"speed of it": 3.0, "another": 1.5}
    line = next(line for line in text.splitlines() if "speed of it" in line)
    assert all(part in line for part in ("4.00", "3.00", "-25%", "fell"))
    bench.stored("one", {"speed of it": 4.0})
    assert bench("one", strict=True)[0] == 1
    assert bench("one", strict=True)[0] == 0  # the lower one is what is stored now


def test_a_script_that_fails_or_is_missing_keeps_what_is_stored_and_the_others_run(bench):
    for name in ("bad", "missing"):
        bench.stored(name, {"a": 4.0})
    bench.script("bad", {"a": 9.0}, code=3)
    bench.script("fresh", {"a": 9.0}, code=1)
    bench.script("empty", {})
    bench.script("good", {"a": 2.0})
    code, text = bench("bad", "missing", "fresh", "empty", "good")
    assert code == 1 and bench.stored("bad") == bench.stored("missing") == {"a": 4.0}
    assert bench.stored("good") == {"a": 2.0} and bench.stored("fresh") is None and bench.stored("empty") is None
    failed = [line.split(":")[0] for line in text.splitlines() if line.startswith("FAILED")]
    assert failed == ["FAILED bad", "FAILED missing", "FAILED fresh", "FAILED empty"]


def test_a_quick_run_stores_nothing(bench):
    bench.stored("one", {"a": 2.0, "only in full": 1.0})
    bench.script("one", {"a": 2.0})
    code, text = bench("one", quick=True, strict=True)
    assert code == 1 and bench.stored("one") == {"a": 2.0, "only in full": 1.0}  # 1.0 beside 2.0
    assert "-50%" in text and "gone" not in text


def test_an_old_form_has_no_ratios(run_all, tmp_path):
    for text in ("{}", "not json", '{"ratios": [1]}', '{"ratios": {"a": "b"}}'):
        (tmp_path / "x.json").write_text(text, encoding="utf-8")
        assert run_all.read_ratios(tmp_path / "x.json") == {}
    assert run_all.read_ratios(tmp_path / "none.json") == {}


def test_the_list_and_the_names(run_all, monkeypatch):
    asked = []
    monkeypatch.setattr(run_all, "run", lambda names, **options: asked.append((tuple(names), options)) or 0)
    assert run_all.main([]) == 0 and run_all.main(["--only", "startup,operator", "--quick", "--strict"]) == 0
    assert asked[0][0] == run_all.BENCHMARKS and asked[1][0] == ("startup", "operator")
    assert asked[1][1] == {"quick": True, "tolerance": 0.15, "strict": True}
    with pytest.raises(SystemExit):
        run_all.main(["--only", "nothing"])


def test_every_script_of_the_list_takes_the_common_options(run_all):
    for name in run_all.BENCHMARKS:
        text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        assert '"--quick"' in text and ('"--out"' in text or '"--output"' in text) and "ratios" in text, name
