"""Lines and messages: what is legal, what is refused, and that the definition needs nothing but Python."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rep3d import errors
from rep3d.worker import params, protocol
from rep3d.worker.job import Clock
from rep3d.worker.protocol import ProtocolError

texts = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates included
numbers = st.integers(-(1 << 53), 1 << 53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(st.integers(-(1 << 62), 1 << 62) | st.text(max_size=50), st.dictionaries(texts, values, max_size=4))
def test_a_request_survives_the_pipe(id, body):
    line = protocol.request(id, "segment", body)
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii()
    assert protocol.read_request(line) == protocol.Request(id, "segment", body)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{\n",
        b"[1]\n",
        b"null\n",
        b'"text"\n',
        b"\xff\xfe\n",
        b'{"id": NaN, "method": "ping"}\n',
        b'{"id": 1, "method": "ping", "params": {"x": 1e999}}\n',
        b'{"id": 1, "method": "ping", "params": {"x": Infinity}}\n',
        b"[" * 100_000 + b"\n",
        b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"\n",
        b'{"method": "ping"}\n',
        b'{"id": null, "method": "ping"}\n',
        b'{"id": true, "method": "ping"}\n',
        b'{"id": 1.5, "method": "ping"}\n',
        b'{"id": [1], "method": "ping"}\n',
        b'{"id": 99999999999999999999999, "method": "ping"}\n',
        b'{"id": "' + b"x" * 201 + b'", "method": "ping"}\n',
        b'{"id": ' + b"9" * 5000 + b', "method": "ping"}\n',
    ],
)
def test_malformed_lines_have_no_id(line):
    with pytest.raises(ProtocolError) as error:
        protocol.read_request(line)
    assert error.value.id is None and len(str(error.value)) < 400


@pytest.mark.parametrize(
    "rest",
    [b'"params": {}', b'"method": 5', b'"method": null', b'"method": "ping", "params": []', b'"method": "x", "y": 1'],
)
def test_errors_keep_the_id(rest):
    with pytest.raises(ProtocolError) as error:
        protocol.read_request(b'{"id": "seven", ' + rest + b"}\n")
    assert error.value.id == "seven"


def test_limits():
    with pytest.raises(ProtocolError, match="longer"):
        protocol.encode({"id": 1, "result": {"x": "a" * protocol.MAX_LINE}})
    with pytest.raises(ProtocolError, match="JSON"):
        protocol.encode({"id": 1, "result": {"x": float("nan")}})
    with pytest.raises(ProtocolError, match="JSON"):
        protocol.encode({"id": 1, "result": {"x": object()}})
    assert len(protocol.error(1, "internal", "m" * 100_000)["error"]["message"]) == protocol.MAX_TEXT
    with pytest.raises(ValueError, match="nonsense"):
        protocol.error(1, "nonsense", "")


@pytest.mark.parametrize(
    "message",
    [
        protocol.progress(1, 0.5, "segmenting (window 1 of 2)", None),
        protocol.log("a", "text", "warning"),
        protocol.result(1, {"x": [1, None]}),
        protocol.error(None, "bad_request", "what", "do"),
    ],
)
def test_replies_are_checked(message):
    assert protocol.read_reply(protocol.encode(message)) == message
    for key in message:
        if key not in ("level", "eta_s"):
            with pytest.raises(ProtocolError):
                protocol.read_reply(protocol.encode({k: v for k, v in message.items() if k != key}))
    with pytest.raises(ProtocolError):
        protocol.read_reply(protocol.encode({**message, "result": {}, "error": {}}))


def test_a_code_that_is_not_on_the_list_is_refused():
    line = b'{"id": 1, "error": {"code": "oops", "message": "", "hint": ""}}\n'
    with pytest.raises(ProtocolError, match="malformed error"):
        protocol.read_reply(line)


def test_every_error_of_the_package_is_on_the_list():
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.Rep3DError)]
    assert len(classes) >= 7 and {c.code for c in classes} <= set(protocol.ERROR_CODES)


def test_progress_stays_between_0_and_1():
    assert protocol.progress(1, 1.7, "x", -2.0) == protocol.progress(1, 1.0, "x", 0.0)
    assert protocol.progress(1, -1, "x", None)["fraction"] == 0


def test_defaults_are_filled_in():
    asked = params.check("segment", {"volume": {"array": "a.npy", "affine": [[1, 0, 0, 0]] * 4}, "task": "kits"})
    assert asked["device"] == "auto" and asked["overlap"] == 0.5 and asked["tta"] is False
    assert asked["roi"] is asked["structures"] is asked["weights"] is None and asked["volume"]["name"] is None


def test_seconds_left():
    time = [0.0]
    clock = Clock(lambda: time[0])
    assert clock.left(0.0) is None
    assert clock.left(0.1) is None  # the first window includes warming up
    time[0] = 2.0
    assert clock.left(0.3) == pytest.approx(7.0)
    time[0] = 4.0
    assert clock.left(0.3) == pytest.approx(14.0)
    assert clock.left(1.0) == 0


def test_the_standard_library_is_enough():
    code = (
        "import sys; from rep3d.worker import protocol, folder, params, failures, server, channel, job, methods\n"
        "heavy = {'numpy', 'torch', 'yaml', 'scipy', 'monai', 'SimpleITK', 'psutil', 'typer'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
