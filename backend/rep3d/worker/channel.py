"""The two pipes, taken away from everything else in the process: no print of any library can reach the protocol."""

from __future__ import annotations

import os
import sys
import threading
from typing import BinaryIO

from rep3d.worker import protocol
from rep3d.worker.protocol import MAX_LINE, ProtocolError


class Channel:
    """Lines in, messages out. ``send`` may be called from any thread; ``read_line`` from one."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO):
        self._reader, self._writer = reader, writer
        self._lock = threading.Lock()

    @classmethod
    def take_over(cls) -> Channel:
        """Keep private copies of standard input and output; input becomes empty, output goes to standard error.

        Both must happen before anything heavy is imported: native code prints to descriptor 1, and on Windows a
        library that looks at descriptor 0 while a thread reads from it would wait for ever.
        """
        private_in, private_out = os.dup(0), os.dup(1)
        if sys.platform == "win32":
            import msvcrt

            for descriptor in (private_in, private_out):
                msvcrt.setmode(descriptor, os.O_BINARY)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        try:
            os.dup2(2, 1)
        except OSError:  # a parent that closed standard error
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
        os.close(nothing)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        return cls(os.fdopen(private_in, "rb"), os.fdopen(private_out, "wb"))

    def read_line(self) -> bytes | None:
        """The next whole line, None at the end of the input. Raises ProtocolError for one that is too long."""
        line = self._reader.readline(MAX_LINE)
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = self._reader.readline(MAX_LINE)
            raise ProtocolError(f"a line is longer than {MAX_LINE} bytes", "Send arrays as files.")
        return line if line.endswith(b"\n") else None

    def send(self, message: dict) -> None:
        """Write one message. Raises ProtocolError if it cannot be encoded, OSError if nobody reads any more."""
        line = protocol.encode(message)
        with self._lock:
            self._writer.write(line)
            self._writer.flush()
