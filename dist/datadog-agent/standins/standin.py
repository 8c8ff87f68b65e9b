"""What the stand-ins share: how they begin, what signals do to them, and how they end.

A stand-in takes the place of one of the Datadog Agent's programs in examples and tests: the same sockets, none of the work.

| told by | it |
|---|---|
| TERM, INT | ends, with 0 |
| USR1 | is sick from then on: it runs, and neither answers well nor has a heartbeat |
| USR2 | crashes: ends with 3 |
| a file NAME in the folder DD_STANDIN_FAIL | says what is in the file and ends with 1, instead of starting |
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import socketserver
import sys
import threading
from pathlib import Path
from typing import Callable

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2}

sick = threading.Event()

# Sockets that are gone when the program was asked to end.
made: list[Path] = []


def say(text: str) -> None:
    """A line on stdout, at once."""
    print(text, flush=True)


def run(name: str, parts: list[Callable[[], None]], heartbeat: Callable[[], str] | None = None) -> None:
    """Runs each part in a thread of its own until a signal ends the program.

    What `heartbeat` gives is said every DD_STANDIN_INTERVAL seconds (10).
    """
    told = Path(os.environ.get("DD_STANDIN_FAIL", "/nowhere"), name)
    if told.exists():
        say(f"{name}: told to fail: {told.read_text().strip()}")
        sys.exit(1)
    # Blocked before there is a thread, so that they wait for sigtimedwait() below whoever gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for part in parts:
        threading.Thread(target=part, daemon=True).start()
    say(f"{name}: a stand-in, pid {os.getpid()}, started with: {' '.join(sys.argv[1:]) or 'no arguments'}")
    interval = float(os.environ.get("DD_STANDIN_INTERVAL", "10"))
    while True:
        heard = signal.sigtimedwait(SIGNALS, interval)
        if heard is None:
            if heartbeat and not sick.is_set():
                say(f"{name}: {heartbeat()}")
        elif heard.si_signo == signal.SIGUSR1:
            sick.set()
            say(f"{name}: sick from now on")
        elif heard.si_signo == signal.SIGUSR2:
            say(f"{name}: crashing, as told")
            os._exit(3)
        else:
            say(f"{name}: ends, by {signal.Signals(heard.si_signo).name}")
            for path in made:
                path.unlink(missing_ok=True)
            # Whatever a thread is at does not matter: a program that is asked to end does so.
            os._exit(0)


def handed_over(variable: str) -> socket.socket | None:
    """The socket whose descriptor this variable has, if there is one: who started us listens already."""
    number = os.environ.get(variable)
    if number is None:
        return None
    listener = socket.socket(fileno=int(number))
    say(f"took over {listener.getsockname()} from {variable}")
    return listener


def bound(kind: socket.SocketKind, path: str) -> socket.socket:
    """A Unix socket of our own at this path, in the place of what was left there; its folder is made if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).unlink(missing_ok=True)
    one = socket.socket(socket.AF_UNIX, kind)
    one.bind(path)
    made.append(Path(path))
    return one


class Server(socketserver.ThreadingMixIn, socketserver.BaseServer):
    """HTTP over a listener that is there already, of whatever family."""

    def __init__(self, listener: socket.socket, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("", 0), handler)
        listener.listen()
        self.socket = listener

    def fileno(self) -> int:
        """What is waited on."""
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, str]:
        """The next connection."""
        return self.socket.accept()[0], "somebody"

    def handle_error(self, request: object, client_address: object) -> None:
        """A probe that has seen the status goes away before the rest; anything else is told."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serving(listener: socket.socket, answers: dict[str, Callable[[], object]]) -> Callable[[], None]:
    """A part that answers these paths with JSON, with 503 while sick."""

    class Page(http.server.BaseHTTPRequestHandler):
        """One request."""

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = answers.get(self.path)
            status = 503 if sick.is_set() else 200 if found else 404
            body = json.dumps(found() if found and status == 200 else {"status": status}).encode() + b"\n"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Says nothing for each request."""

    return Server(listener, Page).serve_forever
