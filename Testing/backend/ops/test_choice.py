"""The automatic choice: measured once, stored, overridable, and robust to whatever lies in the cache folder."""

import json
import multiprocessing
import os
import warnings

import pytest
import torch
from rep3d.ops import adopt_algorithm_choices, algorithm_choices, choice, choice_store, depthwise_conv3d
from rep3d.runtime.folders import CACHE_DIR_VARIABLE


@pytest.fixture
def case(monkeypatch):
    """A small situation that is measured all the same, with the runs counted."""
    monkeypatch.setattr(choice, "TINY", 0)
    counts = []
    inner = choice._time

    def counting(run, name, channels, kind):
        counts.append(name)
        return inner(run, name, channels, kind)

    monkeypatch.setattr(choice, "_time", counting)
    x = torch.randn(1, 2, 6, 6, 6)
    weight = torch.randn(2, 1, 5, 5, 5)
    return x, weight, counts


def stored():
    return json.loads(choice_store.cache_file().read_text(encoding="utf-8"))["choices"]


def test_measured_once_and_kept_for_the_next_process(case):
    x, weight, counts = case
    depthwise_conv3d(x, weight)
    assert {"direct", "fft", "matmul", "hybrid"} >= set(counts) and counts
    (entry,) = stored().values()
    assert entry["algorithm"] == min(entry["milliseconds"], key=entry["milliseconds"].get)
    counts.clear()
    depthwise_conv3d(x, weight)
    choice.store.forget()  # as a new process would start
    depthwise_conv3d(x, weight)
    assert counts == []


def test_who_stored_first_is_right(case):
    """Two processes measure one situation at the same time: both must end with one choice, also when started again."""
    x, weight, _ = case
    depthwise_conv3d(x, weight)
    ((key, entry),) = stored().items()
    other = next(name for name in choice.CANDIDATES if name != entry["algorithm"])
    late = choice_store.ChoiceStore(choice.CANDIDATES)
    late._follow_path()
    late._choices = {}  # it looked before the first had stored
    assert late.put(key, other, {other: 1.0}) == late.get(key) == entry["algorithm"]
    assert stored() == {key: entry}


def test_choices_carried_over_win_over_the_file(case):
    x, weight, counts = case
    depthwise_conv3d(x, weight)
    ((key, name),) = choice.store.used().items()
    other = next(n for n in choice.CANDIDATES if n != name)
    choice.store.forget()
    adopt_algorithm_choices({key: other, "elsewhere": "rm -rf"})
    counts.clear()
    depthwise_conv3d(x, weight)
    assert algorithm_choices() == {key: other} and counts == []


def test_situations_are_told_apart(case):
    x, weight, counts = case
    depthwise_conv3d(x, weight)
    variants = [
        lambda: depthwise_conv3d(x, weight.clone().requires_grad_()),
        lambda: depthwise_conv3d(x.double(), weight.double()),
        lambda: depthwise_conv3d(torch.cat((x, x)), weight),
        lambda: depthwise_conv3d(x, torch.randn(2, 1, 3, 5, 5)),
        lambda: depthwise_conv3d(x.clone().requires_grad_(), weight).sum().backward(),
    ]
    for number, variant in enumerate(variants):
        counts.clear()
        variant()
        assert counts, number
        assert len(stored()) == 2 + number
    depthwise_conv3d(x, torch.randn(2, 1, 21, 21, 21))
    before = len(stored())
    depthwise_conv3d(x, torch.randn(2, 1, 31, 31, 31))  # cropped to the same taps
    assert len(stored()) == before


def test_the_stored_choice_is_followed(case, monkeypatch):
    x, weight, _ = case
    used = []
    from rep3d.ops import registration

    inner = registration.run_forward
    monkeypatch.setattr(registration, "run_forward", lambda name, *rest: used.append(name) or inner(name, *rest))
    depthwise_conv3d(x, weight)
    for name in choice.CANDIDATES:
        path = choice_store.cache_file()
        content = json.loads(path.read_text(encoding="utf-8"))
        for entry in content["choices"].values():
            entry["algorithm"] = name
        path.write_text(json.dumps(content), encoding="utf-8")
        choice.store.forget()
        used.clear()
        depthwise_conv3d(x, weight)
        assert used == [name]


@pytest.mark.parametrize("name", choice.CANDIDATES)
def test_environment_overrides_auto_but_not_the_argument(case, monkeypatch, name):
    x, weight, counts = case
    from rep3d.ops import registration

    used = []
    inner = registration.run_forward
    monkeypatch.setattr(registration, "run_forward", lambda name, *rest: used.append(name) or inner(name, *rest))
    monkeypatch.setenv("REP3D_CONV_ALGORITHM", name)
    depthwise_conv3d(x, weight)
    depthwise_conv3d(x, weight, algorithm="hybrid")
    assert used == [name, "hybrid"] and counts == []
    assert not choice_store.cache_file().exists()


def test_a_wrong_environment_value_is_an_error(case, monkeypatch):
    x, weight, _ = case
    monkeypatch.setenv("REP3D_CONV_ALGORITHM", "quick")
    with pytest.raises(ValueError, match="REP3D_CONV_ALGORITHM"):
        depthwise_conv3d(x, weight)


def test_the_direct_algorithm_is_not_run_where_it_cannot_win(case, monkeypatch):
    x, weight, counts = case
    monkeypatch.setattr(choice, "PEAK_CPU_THREAD", 1.0)
    depthwise_conv3d(x, weight)
    assert "direct" not in counts and counts


def test_inexact_matrix_products_exclude_the_algorithms_that_use_them(case, monkeypatch):
    x, weight, counts = case
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    depthwise_conv3d(x, weight)
    assert set(counts) <= {"direct", "fft"}


def test_a_candidate_that_cannot_run_is_reported_and_left_out(case, monkeypatch):
    x, weight, _ = case
    inner = choice._time

    def failing(run, name, channels, kind):
        if name == "matmul":
            raise RuntimeError("not on this device")
        return inner(run, name, channels, kind)

    monkeypatch.setattr(choice, "_time", failing)
    with pytest.warns(RuntimeWarning, match=r"matmul does not run on cpu: not on this device"):
        depthwise_conv3d(x, weight)
    (entry,) = stored().values()
    assert entry["algorithm"] != "matmul"


def test_small_work_is_not_measured():
    x, weight = torch.randn(1, 2, 4, 4, 4), torch.randn(2, 1, 3, 3, 3)
    depthwise_conv3d(x, weight)
    assert not choice_store.cache_file().exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"format": "other", "version": 1, "choices": {}}', b'{"choices": 3}'],
)
def test_a_damaged_or_foreign_file_is_reported_once_and_replaced(case, content):
    x, weight, _ = case
    path = choice_store.cache_file()
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.warns(RuntimeWarning, match=path.name) as caught:
        depthwise_conv3d(x, weight)
    assert len([w for w in caught if path.name in str(w.message)]) == 1
    assert len(stored()) == 1


def test_nonsense_entries_are_ignored(case):
    x, weight, counts = case
    depthwise_conv3d(x, weight)
    (key,) = stored()
    for entry in ({"algorithm": "rm -rf"}, "fft", None, {}):
        content = {"format": choice_store.FORMAT, "version": choice_store.VERSION, "choices": {key: entry}}
        choice_store.cache_file().write_text(json.dumps(content), encoding="utf-8")
        choice.store.forget()
        counts.clear()
        depthwise_conv3d(x, weight)
        assert counts and stored()[key]["algorithm"] in choice.CANDIDATES


def test_an_unusable_folder_is_reported_once_and_the_choice_kept_in_memory(case, monkeypatch, tmp_path):
    x, weight, counts = case
    blocked = tmp_path / "a file"
    blocked.write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("REP3D_CACHE_DIR", str(blocked))
    with pytest.warns(RuntimeWarning, match="cannot be"):
        depthwise_conv3d(x, weight)
    counts.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        depthwise_conv3d(x, weight)
        assert counts == []
        depthwise_conv3d(x.double(), weight.double())


def test_no_temporary_files_stay(case):
    x, weight, _ = case
    depthwise_conv3d(x, weight)
    assert [p.name for p in choice_store.cache_file().parent.iterdir()] == [choice_store.FILE_NAME]


def _write_many(folder: str, writer: int) -> None:
    os.environ[CACHE_DIR_VARIABLE] = folder
    store = choice_store.ChoiceStore(choice.CANDIDATES)
    for number in range(30):
        store.put(f"{writer}/{number}", "fft", {"fft": 1.0})


def test_two_processes_writing_at_once_leave_a_whole_file(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path))
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(str(tmp_path), i)) for i in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    keys = set(stored())
    assert keys & {"0/29", "1/29"} and len(keys) >= 30
    assert [p.name for p in tmp_path.iterdir()] == [choice_store.FILE_NAME]


def test_the_direct_algorithm_is_not_run_where_its_code_would_fill_the_memory(case, monkeypatch):
    """PyTorch unrolls a depthwise kernel into code and keeps it: 326 MB for 21^3 taps on 64^3 maps were measured."""
    x, weight, counts = case
    measured = {(64, 21): 326, (24, 21): 315, (16, 21): 183, (12, 21): 101, (12, 15): 37, (24, 13): 28, (40, 31): 2190}
    for (n, k), megabytes in measured.items():
        line = torch.empty(1, 1, n, n, n, device="meta"), torch.empty(1, 1, k, k, k, device="meta")
        assert 0.8 < choice.direct_code_bytes("forward", *line) / 2**20 / megabytes < 1.25, (n, k)
    assert choice.direct_code_bytes("forward", x, weight) < choice.CODE_LIMIT
    monkeypatch.setattr(choice, "CODE_LIMIT", choice.direct_code_bytes("forward", x, weight) - 1)
    depthwise_conv3d(x, weight)
    assert "direct" not in counts and counts


def test_a_setting_that_changes_between_calls_is_followed(case, monkeypatch):
    """Answers are kept under a short key: that key must know of threads, precision and the cache folder."""
    x, weight, counts = case
    depthwise_conv3d(x, weight)
    for change in (
        lambda: torch.set_num_threads(2),
        lambda: monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high"),
        lambda: monkeypatch.setenv("REP3D_CACHE_DIR", os.environ["REP3D_CACHE_DIR"] + " 2"),
    ):
        change()
        counts.clear()
        depthwise_conv3d(x, weight)
        assert counts
        counts.clear()
        depthwise_conv3d(x, weight)
        assert not counts
