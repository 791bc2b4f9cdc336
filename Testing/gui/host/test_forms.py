"""A module with a form: loaded unchanged, driven as a person would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

MODULES = Path(__file__).parent / "modules"


@pytest.fixture
def form(slicer_host):
    loaded = slicer_host.load_module(MODULES / "FormCounter" / "FormCounter.py")
    yield loaded
    slicer_host.unload_module("FormCounter")


def add_volume(name="CT", values=(0, 50, 150, 300)):
    import slicer

    array = np.array(values, dtype=np.int16).reshape(1, 1, -1)
    return slicer.util.addVolumeFromArray(array, name=name)


def test_button_is_enabled_once_there_is_a_volume(slicer_host, form):
    ui = form.widget.ui
    assert not ui.applyButton.enabled
    volume = add_volume()
    assert ui.inputSelector.currentNode() is volume
    assert ui.applyButton.enabled
    slicer_host.click(ui.applyButton)
    assert ui.resultLabel.text == "2"
