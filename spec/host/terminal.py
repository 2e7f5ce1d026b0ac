"""terminal.py ROWS COLUMNS PROGRAM ARGS...: runs a program on a pseudo-terminal of its own. What comes to standard input is
typed there, what it shows goes to standard output; the exit code is the program's, 128 + n after a signal. A byte 0xff
and "ROWS COLUMNS\\n" typed give the terminal another size.
SPDX-License-Identifier: MIT"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios

RESIZE = re.compile(rb"\xff(\d+) (\d+)\n")


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def type_in(terminal, data):
    at = 0
    for match in RESIZE.finditer(data):
        os.write(terminal, data[at : match.start()])
        resize(terminal, int(match[1]), int(match[2]))
        at = match.end()
    os.write(terminal, data[at:])


def pump(terminal):
    sources = [terminal, 0]
    while True:
        for ready in select.select(sources, [], [])[0]:
            try:
                data = os.read(ready, 65536)
            except OSError:  # the program has ended
                return
            if ready == terminal and data:
                os.write(1, data)
            elif ready == terminal:
                return
            elif data:
                type_in(terminal, data)
            else:
                sources.remove(0)


def main():
    pid, terminal = pty.fork()
    if pid == 0:
        resize(0, int(sys.argv[1]), int(sys.argv[2]))
        try:
            os.execvp(sys.argv[3], sys.argv[3:])
        finally:
            os._exit(127)
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(pid, signal.SIGTERM))
    pump(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    sys.exit(status if status >= 0 else 128 - status)


main()
