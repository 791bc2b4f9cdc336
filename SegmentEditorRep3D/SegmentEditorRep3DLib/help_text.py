"""The help that the Segment Editor shows for the effect."""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _

FOLDER = Path(__file__).resolve().parent.parent / "Resources"
PICTURE, ICON = FOLDER / "Help" / "Rep3DClick.png", FOLDER / "Icons" / "SegmentEditorRep3D.png"
SHORTCUT = "Ctrl+Shift+K"
DOCUMENTATION = "https://github.com/rep3d-project/SlicerRep3D/blob/main/docs/click.md"


def help_text() -> str:
    """Rich text; the first line is what shows while the help is folded."""
    picture = f'<p><img src="{PICTURE.as_uri()}" width="320"></p>' if PICTURE.is_file() else ""
    lines = (
        _("<b>Left-click</b> a structure in a slice view to add it to the selected segment."),
        _("<b>Ctrl-click</b> removes the structure from the segment; <b>Shift-click</b> adds it and keeps the "
          "segment's name and color."),
        _("The text beside the cursor says what a click would take, and how sure the network is there."),
        _("<b>Threshold</b> grows or shrinks the last click. Undo, masking, editable intensity range and overwrite "
          "mode work as with every other effect."),
        _("The first click segments the whole volume in the background and is applied when that is done; later ones "
          "are instant. In local mode only a patch around each click is segmented."),
        _("{shortcut} opens this effect. For research use only.").format(shortcut=SHORTCUT),
    )  # fmt: skip
    more = _('See the <a href="{url}">tutorial</a>.').format(url=DOCUMENTATION)
    head = _("Click an organ in a slice view: it becomes the selected segment.")
    return f"<html>{head}<br>{picture}<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>{more}"
