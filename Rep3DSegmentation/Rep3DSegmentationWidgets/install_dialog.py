"""The one question before packages are installed: what, how large, and in which build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .text import size_text


@dataclass(frozen=True)
class Answer:
    """What the user wants: the build of PyTorch ("auto", "cpu", "gpu"), and OpenVINO beside it."""

    build: str = "auto"
    openvino: bool = False


class InstallDialog:
    """Shows what would be installed for each answer, and asks.

    Args:
        choices: what there is to choose from (``dependencies.Choices``).
        plan_for: what an answer amounts to (``dependencies.InstallPlan``).
    """

    def __init__(self, choices: Any, plan_for: Callable[[Answer], Any]):
        self._plan_for = plan_for
        self.dialog = qt.QDialog(slicer.util.mainWindow())
        self.dialog.setWindowTitle(_("Install what Rep3D needs"))
        layout = qt.QVBoxLayout(self.dialog)
        self.intro = qt.QLabel(
            _("Rep3D computes with Python packages that this Slicer does not have yet. They are installed once.")
        )
        self.intro.setWordWrap(True)
        layout.addWidget(self.intro)
        self.buttons: dict[str, Any] = {}
        for build in choices.builds if len(choices.builds) > 1 else ():
            title = _("{0}: about {1}").format(build.title, size_text(build.size_mb * 1e6))
            button = qt.QRadioButton(_("{0} (recommended)").format(title) if build.recommended else title)
            button.setEnabled(not build.problem)
            button.setToolTip(build.problem)
            button.setChecked(build is choices.builds[0])
            button.connect("toggled(bool)", self._on_change)
            layout.addWidget(button)
            self.buttons[build.key] = button
        size = size_text(choices.openvino_mb * 1e6)
        self.openvino = qt.QCheckBox(_("OpenVINO: several times faster without a GPU, {0}").format(size))
        self.openvino.setVisible(choices.openvino_mb > 0)
        self.openvino.setChecked(choices.openvino_recommended)
        self.openvino.connect("toggled(bool)", self._on_change)
        layout.addWidget(self.openvino)
        self.details = qt.QLabel()
        self.details.setWordWrap(True)
        self.details.setTextFormat(qt.Qt.RichText)
        self.details.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        layout.addWidget(self.details)
        box = qt.QDialogButtonBox()
        self.install = box.addButton(_("Install"), qt.QDialogButtonBox.AcceptRole)
        self.cancel = box.addButton(_("Not now"), qt.QDialogButtonBox.RejectRole)
        self.install.connect("clicked()", self.dialog.accept)
        self.cancel.connect("clicked()", self.dialog.reject)
        layout.addWidget(box)
        self._on_change()

    @property
    def answer(self) -> Answer:
        """What is chosen now."""
        build = next((key for key, button in self.buttons.items() if button.checked), "auto")
        return Answer(build, bool(self.openvino.checked))

    def ask(self) -> Answer | None:
        """Wait for the user; None: not now."""
        accepted = self.dialog.exec_()
        answer = self.answer
        self.dialog.deleteLater()
        return answer if accepted else None

    def _on_change(self, _checked: bool = False) -> None:
        plan = self._plan_for(self.answer)
        lines = "".join(f"<li>{escape(line.strip())}</li>" for line in plan.lines)
        self.details.setText(f"<ul style='margin-left: -24px'>{lines}</ul>")
        self.install.setEnabled(bool(plan.steps))
