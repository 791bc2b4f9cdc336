"""What must be known of weights and scan: said before the run and after it, asked where it matters, in the name."""

from __future__ import annotations

import pytest
import slicer

DEMO = {"code": "demo_only", "severity": "warning", "message": "For trying the software.", "hint": "Not for patients."}
EXTENT = {"code": "extent", "severity": "confirm", "message": "The scan is larger.", "hint": "Crop it."}


@pytest.fixture
def answers(panel, monkeypatch):
    """The panel with a worker whose answers carry cautions: the list that is returned."""
    cautions: list[dict] = []
    request = panel.widget.context.client().request

    def with_cautions(method, params=None, **callbacks):
        take = callbacks.get("on_result")
        if method in ("estimate", "segment") and take is not None:
            callbacks["on_result"] = lambda answer: take(answer | {"cautions": list(cautions)})
        return request(method, params, **callbacks)

    monkeypatch.setattr(panel.widget.context.client(), "request", with_cautions)
    return cautions


def test_demo_weights_say_so_before_and_after_and_in_the_name(panel, answers, made_up):
    panel.volume(made_up)
    panel.choose_task("openkbp")
    panel.choose_task("msd-hippocampus")  # chosen by hand, and no longer proposed
    assert not panel.ui.cautionsFrame.visible
    row = panel.state.catalog.weights_used("msd-hippocampus")
    row["demo_only"] = True
    try:
        panel.widget.context.refresh()
        assert "for trying the software" in panel.ui.cautionsLabel.text and panel.ui.cautionsFrame.visible
        assert panel.ui.taskSelector.currentText.startswith("Demo: ")
        answers.append(DEMO)
        panel.run()
        assert panel.message.startswith("Done in")
        node = panel.state.result.segmentation_node
        assert node.GetName() == "scan msd-hippocampus (demo weights)"
        assert panel.ui.warningsLabel.text.startswith("For trying the software. Not for patients.")
        assert not panel.ui.cautionsFrame.visible, "it stands with the result"
        mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        panel.options()
        panel.host.choose(panel.ui.segmentationSelector, "mine")
        for _again in range(2):
            panel.run()
            assert mine.GetName() == "mine (demo weights)"
    finally:
        row["demo_only"] = False


def test_a_scan_that_does_not_fit_asks_first(panel, answers, made_up):
    panel.volume(made_up)
    answers += [DEMO, EXTENT]
    panel.run()
    assert panel.ui.confirmFrame.visible and panel.ui.confirmLabel.text == "The scan is larger. Crop it."
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    panel.host.click(panel.ui.declineButton)
    assert not panel.ui.confirmFrame.visible
    panel.run()
    panel.host.click(panel.ui.confirmButton)
    panel.wait_idle()
    assert panel.message.startswith("Done in") and "The scan is larger." in panel.ui.warningsLabel.text
