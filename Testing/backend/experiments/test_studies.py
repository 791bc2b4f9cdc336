"""The studies are sound: every contrast has its arms, arms that are the same run are trained once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from rep3d.errors import BadInput
from rep3d.experiments.execute import Setting, planned
from rep3d.experiments.recipes import config_of, recipe_of
from rep3d.experiments.runs import LOCK, claim, make_run
from rep3d.experiments.studies import studies
from rep3d.networks import create_network
from rep3d.tasks import load_task

TASK = load_task("msd-hippocampus")
ALL = studies({"adamw": 5.0, "sgd": 100.0})


def setting(tmp_path, seeds=(0, 1), recipe="small"):
    return Setting(TASK, tmp_path, tmp_path, recipe_of(recipe, TASK), seeds)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("recipe", ["small", "paper"])
def test_every_arm_can_be_configured_and_contrasted(name, recipe, tmp_path):
    study = ALL[name]
    keys = [v.key for v in study.variants]
    assert len(set(keys)) == len(keys)
    assert all(a in keys and b in keys and a != b for a, b in study.contrasts)
    runs = planned(study, setting(tmp_path, recipe=recipe))
    folders = [run.folder for _, _, run in runs]
    assert len(set(folders)) == len(runs) == 2 * len(keys)
    assert [seed for _, seed, _ in runs] == [0] * len(keys) + [1] * len(keys)  # seed by seed


def test_the_arms_build_the_networks_they_name():
    import torch

    recipe = recipe_of("small", TASK)
    with torch.device("meta"):
        for variant, kernel, mask in (("k1-plain", 1, False), ("k21-lrbm", 21, True), ("k21-fixed", 21, True)):
            config = config_of(ALL["kernel-size"].variant(variant), recipe, TASK, 0)
            network = create_network(config.network, **config.network_args)
            blocks = [m for m in network.modules() if hasattr(m, "effective_weight")]
            assert {m.weight.shape[-1] for m in blocks} == {kernel}
            assert all((m.mask is not None) == mask for m in blocks)
        config = config_of(ALL["backbone-lrbm"].variant("uxnet21-lrbm"), recipe, TASK, 0)
        assert config.network == "uxnet-xs"


def test_appendix_d_has_its_grid():
    study = studies({})["branch-lr"]
    rates = {v.key: (v.settings["lr"], v.settings.get("lr_small")) for v in study.variants}
    assert rates["adamw-single-6e-4"] == (6e-4, None) and rates["adamw-two-2e-4+3e-4"] == (2e-4, 3e-4)
    assert len(rates) == 22
    assert ALL["branch-lr"].variant("sgd-two-2e-4+6e-4").settings["lr_small"] == pytest.approx(6e-2)


def test_the_default_arm_is_one_run_in_all_studies(tmp_path):
    where = setting(tmp_path, (0,))
    found = {
        name: next(run.folder for v, _, run in planned(ALL[name], where) if v.key == key)
        for name, key in (("kernel-size", "k21-lrbm"), ("lrbm-depth", "depth2"), ("lrbm-kernel", "generator7"))
    }
    assert len(set(found.values())) == 1


def test_what_decides_the_result_decides_the_folder(tmp_path):
    config = config_of(ALL["kernel-size"].variants[0], recipe_of("small", TASK), TASK, 0)
    run = make_run(tmp_path, config, "test", 0.5)
    assert make_run(tmp_path, replace(config, threads=2, workers=0, log_every=1), "test", 0.5).folder == run.folder
    others = [replace(config, seed=1), replace(config, lr=2e-3), replace(config, steps=401)]
    folders = {make_run(tmp_path, c, "test", 0.5).folder for c in others}
    folders |= {make_run(tmp_path, config, "val", 0.5).folder, make_run(tmp_path, config, "test", 0.25).folder}
    assert len(folders) == 5 and run.folder not in folders


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(BadInput, match="k5-plain"):
        planned(ALL["kernel-size"], setting(tmp_path), ["k5-plain"])
    with pytest.raises(BadInput, match="huge"):
        recipe_of("huge", TASK)
    with pytest.raises(BadInput, match="uxnet-s"):
        recipe = replace(recipe_of("small", TASK), network="rep3d-s")
        config_of(ALL["backbone-lrbm"].variants[0], recipe, TASK, 0)


def test_a_lock_lasts_as_long_as_its_process(tmp_path):
    with claim(tmp_path) as mine, claim(tmp_path) as second:
        assert mine and not second
    assert not (tmp_path / LOCK).exists()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        import platform

        import psutil

        content = {"pid": other.pid, "started": psutil.Process(other.pid).create_time(), "host": platform.node()}
        (tmp_path / LOCK).write_text(json.dumps(content))
        with claim(tmp_path) as free:
            assert not free
        other.communicate(b"\n")
    with claim(tmp_path) as free:
        assert free
    (tmp_path / LOCK).write_text(json.dumps({**content, "host": "another machine"}))
    with claim(tmp_path) as free:
        assert not free
    (tmp_path / LOCK).write_text("")  # of a process killed as it began
    os.utime(tmp_path / LOCK)
    with claim(tmp_path) as free:
        assert free
