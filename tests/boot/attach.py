#!/usr/bin/env python3
"""attach.py PTY [TYPE EXPECT]...: a user of a guest's console, as screen(1) is one.

Opens the pty, and for each pair types the one and waits until the other has come; "HANGUP" is the end. Prints all that
has come. TYPE is typed every two seconds again until something comes, as a login that starts flushes what was typed."""
import os
import select
import sys
import time

PATIENCE = 30

pty = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
seen = b""


def hear(seconds):
    """What comes within that time: bytes; None: it hung up."""
    if not select.select([pty], [], [], seconds)[0]:
        return b""
    try:
        return os.read(pty, 65536) or None
    except OSError:
        return None


def wait_for(typed, expected):
    global seen
    end, again, mark = time.monotonic() + PATIENCE, 0, len(seen)
    while True:
        now = time.monotonic()
        if now > end:
            sys.exit(f"{expected!r} does not come; what came: {seen!r}")
        if typed and now >= again and len(seen) == mark:
            os.write(pty, typed)
            again = now + 2
        new = hear(0.1)
        if new is None:
            if expected == b"HANGUP":
                return
            sys.exit(f"hung up before {expected!r}; what came: {seen!r}")
        seen += new
        if expected != b"HANGUP" and expected in seen[mark:]:
            return


words = [word.encode().decode("unicode_escape").encode("latin-1") for word in sys.argv[2:]]
for typed, expected in zip(words[::2], words[1::2]):
    wait_for(typed, expected)
sys.stdout.buffer.write(seen)
