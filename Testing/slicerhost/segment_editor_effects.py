"""The effects of one editor: clones of the registered ones, their buttons, and which of them is active."""

from __future__ import annotations

from typing import Any

from PyQt5 import QtCore, QtWidgets

from .segment_editor_core import EditorCore
from .segment_editor_form import EFFECT_ORDER, NO_EFFECT, EditorForm, effect_button
from .segment_editor_scripted import qSlicerSegmentEditorEffectFactory


class EditorEffects:
    """Clones and buttons. ``active`` is the active effect or None, ``last`` the one before it.

    ``alive``: the editor has not been destroyed.
    """

    def __init__(self, form: EditorForm, core: EditorCore, select: Any) -> None:
        self._form, self._core, self._select = form, core, select
        self.alive = True
        self.clones: list[Any] = []
        self.active: Any = None
        self.last: Any = None
        self.order = list(EFFECT_ORDER)
        self.unordered_visible = True
        self.columns = 2
        self.buttons: dict[str, QtWidgets.QToolButton] = {}
        self._add_button(NO_EFFECT, "None")

    def _add_button(self, name: str, title: str) -> QtWidgets.QToolButton:
        button = effect_button(name, title)
        button.clicked.connect(lambda _checked=False: self._select("" if name == NO_EFFECT else name))
        button.setParent(self._form.EffectsGroupBox)
        self.buttons[name] = button
        return button

    def add_registered(self, node: Any) -> None:
        """Clone what has been registered since, give the clones their panels, and lay the buttons out."""
        for effect in qSlicerSegmentEditorEffectFactory.instance()._copy(self.clones):
            self.clones.append(effect)
            effect._join(self._core, self._select)
            if node is not None:
                effect.setParameterSetNode(node)
                effect._set_defaults()
            button = self._add_button(effect.name, effect.title)
            button.setIcon(effect._icon())
            effect._setup_options_frame()
            effect.optionsFrame().setVisible(False)
            self._form.EffectsOptionsFrame.layout().addWidget(effect.optionsFrame())
        self._lay_out()

    def shown(self) -> list[Any]:
        """None for "no effect", then the effects in the order of their buttons."""
        ordered = [effect for name in self.order for effect in self.clones if effect.name == name]
        others = [effect for effect in self.clones if effect not in ordered]
        return [None, *ordered, *(others if self.unordered_visible else [])]

    def _lay_out(self) -> None:
        grid = self._form.EffectsGroupBox.layout()
        while grid.count():
            grid.takeAt(0)
        for button in self.buttons.values():
            button.hide()
        for index, effect in enumerate(self.shown()):
            button = self.buttons[effect.name if effect is not None else NO_EFFECT]
            grid.addWidget(button, index // self.columns, index % self.columns)
            button.show()

    def by_name(self, name: str | None) -> Any:
        return next((effect for effect in self.clones if name and effect.name == name), None)

    def set_node(self, node: Any) -> None:
        for effect in self.clones:
            effect.setParameterSetNode(node)
            if node is not None:
                effect._set_defaults()

    def notify(self, name: str) -> None:
        for effect in self.clones:
            effect._notify(name)

    def parameter_modified(self) -> None:
        for effect in list(self.clones):
            effect.updateGUIFromMRML()

    def enable(self, usable: bool, segments: bool, selected: bool) -> None:
        """usable: there is a source volume; segments: the segmentation has some; selected: one is selected."""
        self._form.EffectsGroupBox.setEnabled(usable)
        self._form.OptionsGroupBox.setEnabled(usable)
        for effect in self.clones:
            enabled = not effect.requireSegments or (segments and (selected or not effect.perSegment))
            self.buttons[effect.name].setEnabled(enabled)

    def show_active(self, effect: Any, masking: bool) -> None:
        """Options, help, masking section and pressed button of the effect that has been activated, or of none."""
        form = self._form
        form.OptionsGroupBox.setVisible(effect is not None)
        form.OptionsGroupBox.setTitle(effect.title if effect is not None else "")
        form.EffectHelpBrowser.setCollapsibleText(effect.helpText() if effect is not None else "")
        form.MaskingGroupBox.setVisible(effect is not None and masking)
        for name, button in self.buttons.items():
            with QtCore.QSignalBlocker(button):
                button.setChecked(name == (effect.name if effect is not None else NO_EFFECT))

    def clean_up(self) -> None:
        """The end of the editor."""
        self.alive = False
        for effect in self.clones:
            effect.cleanup()
        self.clones.clear()
        self.active = self.last = None
