"""Answers each line with its pid and the line, at every listener and connection that it was passed."""
import os
import socket
import threading


def serve(connection):
    with connection, connection.makefile("rwb", buffering=0) as lines:
        for line in lines:
            lines.write(b"%d %s" % (os.getpid(), line))


def accept(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


assert int(os.environ["LISTEN_PID"]) == os.getpid(), os.environ
count, names = int(os.environ["LISTEN_FDS"]), os.environ["LISTEN_FDNAMES"].split(":")
assert len(names) == count, names
print("listens as", " ".join(names), flush=True)
threads = [threading.Thread(target=accept, args=(socket.socket(fileno=3 + n),)) for n in range(count)]
if "CLIENT_FD" in os.environ:
    threads.append(threading.Thread(target=serve, args=(socket.socket(fileno=int(os.environ["CLIENT_FD"])),)))
for thread in threads:
    thread.start()
