"""Who starts ranks, how many, and what becomes of them when one ends early. Stand-ins for the ranks: no training."""

from __future__ import annotations

import os
import sys

import pytest
import torch
from rep3d.errors import BadInput, DeviceUnavailable
from rep3d.training import launch as launching
from rep3d.training import ranks
from rep3d.training.launch import launch
from rep3d.training.ranks import RankLost, as_started, check_devices, is_first_process, is_rank

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}
SRUN = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_NTASKS": "6", "SLURM_NTASKS_PER_NODE": "2"}

# A rank without this package: it reads what it is told and does what REP3D_TEST says.
STAND_IN = """
import os, pickle, signal, sys, time
size = int.from_bytes(sys.stdin.buffer.read(8), "big")
report, arguments, named = pickle.loads(sys.stdin.buffer.read(size))
rank, what = os.environ["LOCAL_RANK"], os.environ["REP3D_TEST"].split(",")
mine = what[int(rank)]
if mine == "die":
    os.kill(os.getpid(), signal.SIGKILL)
elif mine == "error":
    from rep3d.errors import BadInput
    report.write_bytes(pickle.dumps(("error", BadInput("the data are odd", "look at them"))))
    sys.exit(1)
elif mine == "hang":
    time.sleep(600)
elif mine == "obey":
    word = sys.stdin.buffer.readline()
    report.write_bytes(pickle.dumps(("exit", 128 + int(word[5:]))))
    sys.exit(128 + int(word[5:]))
else:
    print("rank", rank, "of", os.environ["WORLD_SIZE"], flush=True)
    report.write_bytes(pickle.dumps(("done", arguments[0].devices)))
"""


@pytest.fixture
def no_starter(monkeypatch):
    for name in [*os.environ]:
        if name.startswith("SLURM_") or name in {*TORCHRUN, "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"}:
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def stand_in(no_starter, tmp_path):
    script = tmp_path / "rank.py"
    script.write_text(STAND_IN, encoding="utf-8")
    no_starter.setattr(launching, "COMMAND", [sys.executable, str(script)])
    no_starter.setattr(launching, "GRACE_S", 0.3)
    started = []
    original = launching._Rank

    def noted(*arguments):
        started.append(original(*arguments))
        return started[-1]

    no_starter.setattr(launching, "_Rank", noted)
    yield no_starter
    assert started and all(rank.process.poll() is not None for rank in started)  # whatever happened, none is left


def run(config_of, tmp_path, console=None, **changes):
    config = config_of(**{"devices": 2, "batch_size": 2, **changes})
    return launch(config, None, tmp_path, tmp_path / "run", init=None, cache=None, restart=False, console=console)


def test_the_first_ranks_result_comes_back_and_what_it_prints(stand_in, config_of, tmp_path):
    import io

    from rich.console import Console

    stand_in.setenv("REP3D_TEST", "work,work")
    text = io.StringIO()
    assert run(config_of, tmp_path, Console(file=text)) == 2
    assert text.getvalue() == "rank 0 of 2\n"


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_rank_that_is_killed_ends_the_others_with_a_clear_error(stand_in, config_of, tmp_path):
    stand_in.setenv("REP3D_TEST", "hang,die")
    with pytest.raises(RankLost, match="process 1 of 2 was killed by SIGKILL") as caught:
        run(config_of, tmp_path)
    assert "continues from the last checkpoint" in caught.value.hint


def test_the_error_of_a_rank_is_the_error_of_the_run(stand_in, config_of, tmp_path):
    stand_in.setenv("REP3D_TEST", "hang,error")
    with pytest.raises(BadInput, match="the data are odd") as caught:
        run(config_of, tmp_path)
    assert caught.value.hint == "look at them"


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does")
def test_a_signal_is_passed_on_and_gives_the_exit_code(stand_in, config_of, tmp_path):
    import signal
    import threading

    stand_in.setenv("REP3D_TEST", "obey,obey")
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(SystemExit) as caught:
        run(config_of, tmp_path)
    assert caught.value.code == 143


def test_several_machines_by_hand_need_an_address(no_starter, config_of, tmp_path):
    with pytest.raises(BadInput, match="MASTER_ADDR, MASTER_PORT, NODE_RANK") as caught:
        run(config_of, tmp_path, nodes=2, batch_size=4)
    assert "torchrun" in caught.value.hint


@pytest.mark.parametrize(
    ("environment", "devices", "nodes", "rank", "first"),
    [(TORCHRUN, 2, 2, True, False), (SRUN, 2, 3, True, True), ({**SRUN, "SLURM_NTASKS": "1"}, 1, 1, False, True)],
)
def test_torchrun_and_srun_are_recognised(no_starter, config_of, environment, devices, nodes, rank, first):
    config = config_of(batch_size=12)
    assert as_started(config) == config and not is_rank() and is_first_process()
    for name, value in environment.items():
        no_starter.setenv(name, value)
    started = as_started(config)
    assert (started.devices, started.nodes) == (devices, nodes)
    assert is_rank() is rank and is_first_process() is first


def test_a_batch_script_without_srun_is_one_process(no_starter, config_of):
    for name, value in {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}.items():
        no_starter.setenv(name, value)
    assert as_started(config_of()).devices == 1 and not is_rank()
    assert ranks.Ranks(config_of()).world == 1


def test_what_cannot_be_is_refused(no_starter, config_of):
    with pytest.raises(BadInput, match="4 crops of a step cannot be shared by 3 equal parts"):
        config_of(devices=3, batch_size=4)
    with pytest.raises(BadInput, match="names one GPU"):
        check_devices(config_of(devices=2, batch_size=2, device="cuda:1"), torch.device("cuda", 1))
    with pytest.raises(BadInput, match="one process"):
        check_devices(config_of(devices=2, batch_size=2, device="mps"), torch.device("mps"))
    with pytest.raises(DeviceUnavailable, match="--devices 99"):
        check_devices(config_of(devices=99, batch_size=99, device="cuda"), torch.device("cuda", 0))
    for name, value in TORCHRUN.items():
        no_starter.setenv(name, value)
    with pytest.raises(BadInput, match="--devices is 4, but torchrun has started 2"):
        as_started(config_of(devices=4, batch_size=4))
    no_starter.setenv("REP3D_RANK_TIMEOUT", "soon")
    with pytest.raises(BadInput, match="REP3D_RANK_TIMEOUT"):
        ranks.timeout()


def test_messages_of_lost_connections_are_told_from_other_errors():
    with pytest.raises(RankLost, match=r"has ended .*\(Connection closed by peer"), ranks._lost():
        raise RuntimeError("[/a/gloo/pair.cc:5] Connection closed by peer [127.0.0.1]:9. This is typically caused by x")
    with pytest.raises(RuntimeError, match="size mismatch"), ranks._lost():
        raise RuntimeError("size mismatch")
