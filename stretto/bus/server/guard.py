"""The guard: a small process between a server and its owner that ends the server when the owner dies.

It is run as a file, never imported by the owner: `python -I -S guard.py LOCK_FD GRACE_S COMMAND...`. The
owner holds the other end of its standard input; the kernel closes that end however the owner dies, kill -9 included.
The end of input is also the owner's way to say stop. The guard exits as the server exits: with its code, or with
128 + n when signal n ended it.
"""

import os
import subprocess
import sys
import threading


def main(lock_fd: int, grace_s: float, command: list[str]) -> int:
    # The process group is the guard's own, and its id stays reserved while the server lives. Written down before the
    # server exists, it lets the next owner end a server that outlived its guard.
    os.pwrite(lock_fd, str(os.getpid()).encode(), 0)
    # The server keeps the lock open too: the store is free when the last of the two is gone.
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[lock_fd])  # noqa: S603 (the owner's own)
    threading.Thread(target=_end_with_owner, args=(server, grace_s), daemon=True).start()
    code = server.wait()
    return code if code >= 0 else 128 - code


def _end_with_owner(server: "subprocess.Popen[bytes]", grace_s: float) -> None:
    while os.read(0, 1024):
        pass
    server.terminate()
    try:
        server.wait(grace_s)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
