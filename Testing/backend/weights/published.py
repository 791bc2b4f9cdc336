"""A small web server that sends files as asked, and badly when asked to."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """What the server does. ``ranges``: honour Range; ``break_after``: bytes after which each answer breaks off;
    ``status``: answer this instead; ``pause_s``: between pieces. ``asked`` collects the Range headers."""

    def __init__(self, data: bytes):
        self.data = data
        self.ranges, self.break_after, self.status, self.pause_s = True, 0, 0, 0.0
        self.shift = 0  # answer a range that starts so many bytes off
        self.asked: list[str | None] = []
        self.url = ""


@contextmanager
def serve(data: bytes):
    """Serve ``data`` at ``site.url`` on this computer."""
    site = Site(data)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            site.asked.append(wanted)
            if site.status:
                self.send_error(site.status)
                return
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) + site.shift if wanted and site.ranges else 0
            if start >= len(site.data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(site.data) - 1}/{len(site.data)}")
            self.send_header("Content-Length", str(len(site.data) - start))
            self.end_headers()
            body = site.data[start:]
            if site.break_after:
                body = body[: site.break_after]
            try:
                for i in range(0, len(body), 1 << 17):
                    self.wfile.write(body[i : i + (1 << 17)])
                    time.sleep(site.pause_s)
            except OSError:  # the other side has had enough
                return

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}/weights.safetensors"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
