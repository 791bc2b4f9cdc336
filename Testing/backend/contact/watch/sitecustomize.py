"""Python runs this at its start in a watched process: what it looks up, connects to and writes goes to $WATCH_LOG."""

import json
import os
import sys

log = os.open(os.environ["WATCH_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
CONTACTS = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")
#: Event -> which of its arguments is the path that is made.
MADE = {"os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1, "sqlite3.connect": 0}


def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if not (flags & WRITING if isinstance(flags, int) else set(mode or "") & set("wax+")):
            return
        what = ["write", path]
    elif event in LOOKUPS:
        what = ["lookup", arguments[0]]
    elif event in CONTACTS:
        what = [event.partition(".")[2], arguments[-1]]
    elif event in MADE:
        what = ["write", arguments[MADE[event]]]
    else:
        return
    if isinstance(what[1], int):  # a descriptor that is open already
        return
    if what[0] == "write":
        what[1] = os.path.join(os.getcwd(), os.fsdecode(what[1]))
    os.write(log, (json.dumps(what, default=repr) + "\n").encode())


sys.addaudithook(watch)
