"""The one definition of what goes over the worker's pipes; the standard library only, imported by both sides.

JSON lines in UTF-8, one message a line, at most MAX_LINE bytes. Requests go in at the worker's standard input::

    {"id": 7, "method": "segment", "params": {...}}

and come back at its standard output, any number of events and then exactly one end a request::

    {"id": 7, "event": "progress", "fraction": 0.4, "stage": "segmenting (window 4 of 10)", "eta_s": 3.1}
    {"id": 7, "event": "log", "level": "info", "message": "..."}
    {"id": 7, "result": {...}}     or     {"id": 7, "error": {"code": "...", "message": "...", "hint": "..."}}

Numbers are finite: NaN and infinities are malformed. The id of an error is null where a malformed line had none.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

PROTOCOL = 1
MAX_LINE = 1 << 20  # bytes, the line end included
MAX_TEXT = 4000  # characters of a message or hint; longer ones are cut
MAX_ID = 200  # characters of a text id

BAD_REQUEST = "bad_request"
CANCELLED = "cancelled"
INTERNAL = "internal"
WORKER_DIED = "worker_died"
WORKER_UNAVAILABLE = "worker_unavailable"
ERROR_CODES = (
    "bad_input",  # the volume, the options or a file that the user named cannot be used
    "weights_missing",
    "weights_invalid",
    "device_unavailable",
    "out_of_memory",
    "output_failed",
    CANCELLED,
    INTERNAL,
    BAD_REQUEST,  # malformed or oversized line, unknown method, wrong params, a path outside the private folder
    WORKER_DIED,  # made by the client alone
    WORKER_UNAVAILABLE,  # the worker cannot be started (client), or its dependencies are missing (either side)
)

Id = str | int


class ProtocolError(Exception):
    """A line or message that breaks the protocol. ``id`` is the request's, where it could be read."""

    code = BAD_REQUEST

    def __init__(self, message: str, hint: str = "", id: Id | None = None):
        super().__init__(message)
        self.hint = hint
        self.id = id


@dataclass(frozen=True)
class Request:
    """What a line asks for. ``params`` is a dict whose values are not checked here (see params.py)."""

    id: Id
    method: str
    params: dict[str, Any]


def encode(message: dict[str, Any]) -> bytes:
    """The message as one line. Raises ProtocolError for what JSON cannot say (NaN included) and for oversized lines."""
    try:
        # ASCII only: no reader is confused by line separators, lone surrogates of odd file names or another encoding.
        line = json.dumps(message, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"a message cannot be written as JSON: {error}") from error
    if len(line) > MAX_LINE:
        raise ProtocolError(f"a message of {len(line)} bytes is longer than {MAX_LINE}")
    return line


def decode(line: bytes) -> dict[str, Any]:
    """One line as a JSON object. Raises ProtocolError."""
    if len(line) > MAX_LINE:
        raise ProtocolError(f"a line is longer than {MAX_LINE} bytes")
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite_float)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ProtocolError(f"a line is not JSON in UTF-8: {_cut(str(error), 200)}") from error
    if not isinstance(message, dict):
        raise ProtocolError("a line is not a JSON object")
    return message


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large")
    return value


def is_id(value: Any) -> bool:
    """Whether ``value`` can be the id of a request: a whole number, or text of at most MAX_ID characters."""
    if isinstance(value, str):
        return len(value) <= MAX_ID
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def request(id: Id, method: str, params: dict[str, Any] | None = None) -> bytes:
    """The line of a request."""
    return encode({"id": id, "method": method, "params": params or {}})


def read_request(line: bytes) -> Request:
    """The request on a line. Raises ProtocolError, with the id if there was a usable one."""
    message = decode(line)
    id = message.get("id") if is_id(message.get("id")) else None
    if id is None:
        raise ProtocolError("a request needs an id: a whole number or a short text")
    unknown = sorted(set(message) - {"id", "method", "params"})
    if unknown:
        raise ProtocolError(f"a request has no field {_cut(', '.join(unknown), 200)}", id=id)
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str):
        raise ProtocolError("a request needs a method, as text", id=id)
    if not isinstance(params, dict):
        raise ProtocolError("params must be a JSON object", id=id)
    return Request(id, method, params)


def progress(id: Id, fraction: float, stage: str, eta_s: float | None) -> dict[str, Any]:
    """Event: ``fraction`` of the request is done; ``eta_s`` seconds are left, None while that is unknown."""
    eta = None if eta_s is None else round(max(0.0, eta_s), 1)
    fraction = round(min(1.0, max(0.0, fraction)), 4)
    return {"id": id, "event": "progress", "fraction": fraction, "stage": stage, "eta_s": eta}


def log(id: Id, message: str, level: str = "info") -> dict[str, Any]:
    """Event: something that the user may want to read; ``level`` is "info" or "warning"."""
    return {"id": id, "event": "log", "level": level, "message": _cut(message)}


def result(id: Id, values: dict[str, Any]) -> dict[str, Any]:
    """End: it worked."""
    return {"id": id, "result": values}


def error(id: Id | None, code: str, message: str, hint: str = "") -> dict[str, Any]:
    """End: it did not; ``code`` is one of ERROR_CODES."""
    if code not in ERROR_CODES:
        raise ValueError(f"{code!r} is not one of ERROR_CODES")
    return {"id": id, "error": {"code": code, "message": _cut(message), "hint": _cut(hint)}}


def read_reply(line: bytes) -> dict[str, Any]:
    """A message of the worker, checked: its id, and exactly one of event, result and error with the right fields.

    Raises ProtocolError.
    """
    message = decode(line)
    if "id" not in message or not (message["id"] is None or is_id(message["id"])):
        raise ProtocolError("a reply needs an id")
    kinds = [kind for kind in ("event", "result", "error") if kind in message]
    if len(kinds) != 1:
        raise ProtocolError("a reply holds one of event, result and error", id=message["id"])
    if not _READ[kinds[0]](message):
        raise ProtocolError(f"a reply has a malformed {kinds[0]}", id=message["id"])
    return message


def _event_ok(message: dict[str, Any]) -> bool:
    if message["event"] == "progress":
        numbers = [message.get("fraction"), message.get("eta_s") or 0]
        return all(isinstance(n, (int, float)) for n in numbers) and isinstance(message.get("stage"), str)
    return message["event"] == "log" and isinstance(message.get("message"), str) and "level" in message


def _error_ok(message: dict[str, Any]) -> bool:
    what = message["error"]
    texts = isinstance(what, dict) and all(isinstance(what.get(key), str) for key in ("code", "message", "hint"))
    return texts and what["code"] in ERROR_CODES


_READ = {"event": _event_ok, "error": _error_ok, "result": lambda message: isinstance(message["result"], dict)}


def _cut(text: str, limit: int = MAX_TEXT) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
