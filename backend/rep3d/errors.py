"""Errors that a user can act on. Each has a code from a closed list (shared with the worker protocol) and a hint."""

from __future__ import annotations


class Rep3DError(Exception):
    """Base of every error that Rep3D raises on purpose.

    ``str(error)`` is one or two sentences that name the file or argument at fault; ``hint`` says what to do about it.
    """

    code = "internal"

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.hint = hint


class BadInput(Rep3DError):
    """The image, folder, task or argument cannot be used."""

    code = "bad_input"


class WeightsMissing(Rep3DError):
    """No weights are installed for the task, or the weights file does not exist."""

    code = "weights_missing"


class WeightsInvalid(Rep3DError):
    """The weights file is truncated, tampered with, of a future version, or fits no known network."""

    code = "weights_invalid"


class DeviceUnavailable(Rep3DError):
    """The device that was asked for does not exist here. Rep3D never falls back in silence."""

    code = "device_unavailable"


class DeviceUnsound(DeviceUnavailable):
    """The device is there, but what PyTorch computes on it in this precision is wrong (rep3d.conformance)."""


class OutOfMemory(Rep3DError):
    """The run would need, or has needed, more memory than there is."""

    code = "out_of_memory"


class OutputFailed(Rep3DError):
    """A result could not be written (no permission, disk full, name taken)."""

    code = "output_failed"


class Cancelled(Rep3DError):
    """The caller cancelled the run."""

    code = "cancelled"
