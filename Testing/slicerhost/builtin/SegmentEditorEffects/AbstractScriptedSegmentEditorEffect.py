"""Base class of an effect written in Python."""

import math

import qt
import slicer

__all__ = ["AbstractScriptedSegmentEditorEffect"]


class AbstractScriptedSegmentEditorEffect:
    """Holds the host side of the effect in ``self.scriptedEffect``; positions are converted from and to lists."""

    def __init__(self, scriptedEffect):
        self.scriptedEffect = scriptedEffect

    def register(self):
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self):
        """Called before the effect is deleted: end observers and connections here."""

    def rasToXy(self, ras, viewWidget):
        point = self.scriptedEffect.rasToXy(qt.QVector3D(ras[0], ras[1], ras[2]), viewWidget)
        return [point.x(), point.y()]

    def xyzToRas(self, xyz, viewWidget):
        return _list(self.scriptedEffect.xyzToRas(qt.QVector3D(xyz[0], xyz[1], xyz[2]), viewWidget))

    def xyToRas(self, xy, viewWidget):
        return _list(self.scriptedEffect.xyToRas(qt.QPoint(xy[0], xy[1]), viewWidget))

    def xyzToIjk(self, xyz, viewWidget, image, parentTransformNode=None):
        position = qt.QVector3D(xyz[0], xyz[1], xyz[2])
        return _integers(self.scriptedEffect.xyzToIjk(position, viewWidget, image, parentTransformNode))

    def xyToIjk(self, xy, viewWidget, image, parentTransformNode=None):
        point = qt.QPoint(xy[0], xy[1])
        return _integers(self.scriptedEffect.xyToIjk(point, viewWidget, image, parentTransformNode))

    def setWidgetMinMaxStepFromImageSpacing(self, spinbox, imageData):
        """Range and step of a spin box for lengths in an image: from a tenth of a voxel to a hundred voxels."""
        if not imageData:
            return
        step = 10 ** math.floor(math.log10(min(imageData.GetSpacing()) / 10.0))
        spinbox.minimum = step
        spinbox.maximum = 10 ** math.ceil(math.log10(max(imageData.GetSpacing()) * 100.0))
        spinbox.singleStep = step
        spinbox.decimals = max(int(-math.floor(math.log10(step))), 0)


def _list(vector):
    return [vector.x(), vector.y(), vector.z()]


def _integers(vector):
    return [int(vector.x()), int(vector.y()), int(vector.z())]
