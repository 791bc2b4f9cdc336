"""The panel and the node's parameters are one; registration, help, shortcut, and the recipe for scripts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import slicer

from .known import LABELS
from .test_click import LIVER, SPLEEN
from .world import component

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("name", "value", "text", "widget", "shown"),
    [
        ("Threshold", 0.73, "0.73", "threshold_slider", "value"),
        ("SmoothingMm", 1.5, "1.5", "smoothing_slider", "value"),
        ("SliceOnly", True, "1", "slice_check", "checked"),
        ("AllOfClass", True, "1", "all_check", "checked"),
        ("NameSegment", False, "0", "name_check", "checked"),
    ],
)
def test_widgets_and_parameters_follow_each_other(bench, name, value, text, widget, shown):
    effect, control = bench.editor.activeEffect(), getattr(bench.effect.panel, widget)
    default = getattr(control, shown)
    (control.setChecked if isinstance(value, bool) else control.setValue)(value)
    assert effect.parameter(name) == text
    effect.setParameter(name, {True: "1", False: "0"}.get(default, str(default)))
    assert getattr(control, shown) == default


@pytest.mark.parametrize(
    ("combo", "text", "parameters"),
    [
        ("task_combo", "Another task (no weights)", {"Task": "other", "Weights": ""}),
        ("weights_combo", "mine.safetensors (yours)", {"Weights": "/weights/mine.safetensors"}),
        ("device_combo", "CPU", {"Device": "cpu"}),
        ("mode_combo", "Local, around the click", {"Mode": "local"}),
    ],
)
def test_choices_are_stored(bench, combo, text, parameters):
    bench.host.choose(getattr(bench.effect.panel, combo), text)
    for name, value in parameters.items():
        stored = bench.node.GetAttribute(f"Rep3D.{name}") or ""
        assert stored == value


def test_the_parameters_are_saved_with_the_scene_and_shown_again(bench, tmp_path):
    bench.editor.activeEffect().setParameter("Threshold", 0.66)
    bench.node.SetName("kept editor")
    node = slicer.vtkMRMLSegmentEditorNode()
    node.Copy(bench.node)  # what writing and reading the scene does with its attributes
    slicer.mrmlScene.AddNode(node)
    bench.editor.activeEffect().setParameter("Threshold", 0.2)
    bench.editor.setActiveEffectByName("")
    bench.editor.setMRMLSegmentEditorNode(node)
    bench.editor.setActiveEffectByName("Rep3D")
    assert bench.effect.panel.threshold_slider.value == 0.66


@pytest.mark.parametrize(
    ("name", "text", "want"),
    [("Threshold", "nan", 0.5), ("Threshold", "7", 0.99), ("Mode", "magic", "volume"), ("SliceOnly", "maybe", False)],
)
def test_unusable_parameters_of_an_edited_scene_do_no_harm(bench, name, text, want):
    bench.node.SetAttribute(f"Rep3D.{name}", text)
    assert getattr(bench.effect.controller.settings, name) == want


def test_a_script_cannot_store_nonsense(bench):
    from SegmentEditorRep3DLib import settings

    with pytest.raises(ValueError, match="Threshold"):
        settings.write(bench.editor.activeEffect(), Threshold="high")
    with pytest.raises(ValueError, match="Colour"):
        settings.write(bench.editor.activeEffect(), Colour="red")


def test_the_only_task_with_weights_is_chosen_at_the_start(slicer_host, session, new_editor):
    from .world import make_bench

    made = make_bench(slicer_host, *new_editor(), np.zeros((3, 3, 3), np.uint8), np.eye(4), task="")
    made.editor.setActiveEffectByName("")
    made.editor.setActiveEffectByName("Rep3D")
    assert made.editor.activeEffect().parameter("Task") == "known"


def test_two_usable_tasks_are_left_to_the_user_unless_the_module_has_chosen():
    from Rep3DSegmentationWidgets.state import Catalog
    from SegmentEditorRep3DLib.catalog import default_task

    tasks = tuple({"key": key, "weights": {"path": "/x"} if key != "c" else None} for key in "abc")
    catalog = Catalog({}, tasks)
    assert default_task(catalog, "") == "" and default_task(catalog, "c") == "" and default_task(catalog, "b") == "b"


def test_weights_for_trying_the_software_say_so_in_the_panel_and_in_the_segments(bench):
    from Rep3DSegmentationLib.replacing import tag
    from SegmentEditorRep3DLib.catalog import get_catalog
    from SegmentEditorRep3DLib.naming import DEMO_TAG

    caution = bench.effect.panel.caution_label
    bench.host.click_slice("Red", bench.ras(LIVER))
    assert caution.isHidden() and bench.segment().GetName() == "Liver" and not tag(bench.segment(), DEMO_TAG)
    get_catalog().catalog.weights[0]["demo_only"] = True
    bench.add_segment()
    bench.host.click_slice("Red", bench.ras(SPLEEN))
    assert not caution.isHidden() and "for trying the software" in caution.text
    assert bench.segment().GetName() == "Spleen (demo weights)" and tag(bench.segment(), DEMO_TAG) == "true"
    bench.editor.activeEffect().setParameter("Weights", "/weights/mine.safetensors")
    assert caution.isHidden()


def test_a_worker_that_cannot_start_is_told_in_the_panel(bench, monkeypatch):
    import SegmentEditorRep3DLib.catalog as catalog_module
    from Rep3DSegmentationLib.errors import WorkerError

    def refuse():
        raise WorkerError("worker_unavailable", "torch is missing.", "Install the dependencies in the module's panel.")

    monkeypatch.setattr(catalog_module, "_store", catalog_module.CatalogStore())
    monkeypatch.setattr(catalog_module, "get_client", refuse)
    bench.editor.setActiveEffectByName("")
    bench.editor.setActiveEffectByName("Rep3D")
    label = bench.effect.panel.status_label
    assert "torch is missing" in label.text and "Install the dependencies" in label.text


def test_registering_again_makes_no_second_effect(bench, registered):
    module = slicer.modules.SegmentEditorRep3DInstance
    module.registerEditorEffect()
    bench.editor.updateEffectList()
    assert bench.editor.availableEffectNames().count("Rep3D") == 1
    assert bench.editor.effectByName("Rep3D").title == "Rep3D click"


@pytest.mark.parametrize("visible", [True, False])
def test_a_module_that_is_loaded_later_registers_by_itself(registered, monkeypatch, visible):
    from types import SimpleNamespace

    import SegmentEditorRep3D as module

    done = []

    class SegmentEditorRep3D(module.SegmentEditorRep3D):
        def registerEditorEffect(self):
            done.append(self)

    monkeypatch.setattr(slicer.util, "mainWindow", lambda: SimpleNamespace(isVisible=lambda: visible))
    parent = SimpleNamespace(path=module.__file__)
    SegmentEditorRep3D(parent)
    registered.process_events(20)
    assert len(done) == int(visible), "at start-up the signal comes later"
    assert parent.hidden and parent.dependencies == ["Segmentations", "Rep3DSegmentation"]


def test_the_catalog_is_asked_again_and_keeps_what_it_knows(registered, monkeypatch):
    import SegmentEditorRep3DLib.catalog as catalog_module
    from Rep3DSegmentationLib.errors import WorkerError

    asked = {}

    class Client:
        def request(self, method, params, on_result, on_error):
            asked[method] = (on_result, on_error)

    monkeypatch.setattr(catalog_module, "get_client", Client)
    store, changes = catalog_module.CatalogStore(), []
    store.listen(lambda: changes.append(store.loading))
    store.load()
    store.load()
    assert set(asked) == {"hello", "tasks", "models"} and store.loading
    asked["hello"][0]({"devices": []})
    asked["tasks"][0]({"tasks": [{"key": "a"}]})
    assert store.catalog is None
    asked["models"][0]({"weights": []})
    assert store.catalog.task("a") == {"key": "a"} and not store.loading
    store.load()
    asked["tasks"][1](WorkerError("worker_died", "gone"))
    assert store.error.message == "gone" and store.catalog.task("a") and not store.loading
    asked["hello"][0]({"devices": []})
    assert changes == [True, False, True, False], "an answer after the error changes nothing"


def test_the_modules_own_self_test_passes(slicer_host, registered, session):
    import SegmentEditorRep3D as module

    test = module.SegmentEditorRep3DTest()
    test.runTest()
    slicer_host.process_events()


def test_the_icon_and_the_help_are_there(bench):
    import qt  # there once the host runs

    effect = bench.editor.activeEffect()
    assert not bench.effect.icon().isNull()
    assert slicer.modules.segmenteditorrep3d.acknowledgementText  # Slicer's test of all modules asks for it
    assert isinstance(bench.effect.createCursor(None), type(qt.QCursor()))
    help_text = effect.helpText()
    source = re.search(r'<img src="file://([^"]+)"', help_text).group(1)
    assert Path(source).is_file()
    for words in ("Left-click", "Ctrl-click", "Shift-click", "Ctrl+Shift+K", "research use"):
        assert words in help_text


def test_the_shortcut_opens_the_effect(bench, slicer_host, session):
    shortcut = slicer.modules.SegmentEditorRep3DInstance._shortcut
    assert shortcut.key.toString() == "Ctrl+Shift+K"
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(bench.segmentation)
    editor.setSourceVolumeNode(bench.volume)
    shortcut.activated()
    slicer_host.process_events()
    assert editor.activeEffect() is not None and editor.activeEffect().name == "Rep3D"
    editor.setActiveEffectByName("")


def test_only_left_clicks_are_taken_from_the_view(bench):
    """Panning and zooming stay the view's."""
    for button in ("Middle", "Right"):
        bench.host.click_slice("Red", bench.ras(LIVER), button=button)
    assert not bench.mask().any()
    assert bench.effect.statusText().startswith("Ready")


def test_placing_markups_ends_the_effect(bench):
    node = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    node.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.Place)
    bench.host.process_events()
    assert bench.editor.activeEffect() is None
    node.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.ViewTransform)


def test_the_recipe_of_the_documentation_runs(bench, monkeypatch):
    """The code block of docs/click.md, as it stands there, on the bench's volume."""
    text = (ROOT / "docs" / "click.md").read_text(encoding="utf-8")
    recipe = re.search(r"<!-- recipe -->\s*```python\n(.*?)```", text, re.S).group(1)
    assert "msd-hippocampus" in recipe
    known = {"slicer": slicer, "volume": bench.volume, "point_inside": tuple(bench.ras(SPLEEN))}
    exec(compile(recipe.replace("msd-hippocampus", "known"), "docs/click.md", "exec"), known)
    segmentation = known["segmentation"]
    segment = segmentation.GetSegmentation().GetNthSegment(0)
    assert segment.GetName() == LABELS[1]["name"]
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, known["segmentID"], bench.volume)
    np.testing.assert_array_equal(array.transpose(2, 1, 0) > 0, component(bench.labels, SPLEEN))
