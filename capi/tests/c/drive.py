"""The library from a language that can call C and knows nothing else of it."""

import ctypes
import json
import sys
import threading

neap = ctypes.CDLL(sys.argv[1])
handle, text, out = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)
EVENT = ctypes.CFUNCTYPE(None, text, ctypes.c_void_p)
for name, result, arguments in [
    ("neap_new", handle, [text]),
    ("neap_free", ctypes.c_int32, [handle]),
    ("neap_last_error", text, []),
    ("neap_string_free", None, [ctypes.c_void_p]),
    ("neap_create", ctypes.c_int32, [handle, text, text, ctypes.c_int32, handle, out]),
    ("neap_start", ctypes.c_int32, [handle, text, ctypes.c_int64, handle, out]),
    ("neap_stop", ctypes.c_int32, [handle, text, ctypes.c_int64, handle, out]),
    ("neap_describe", ctypes.c_int32, [handle, text, handle, out]),
    ("neap_events_open", handle, [handle, ctypes.c_uint64, handle]),
    ("neap_stream_callback", ctypes.c_int32, [handle, EVENT, ctypes.c_void_p]),
    ("neap_stream_close", ctypes.c_int32, [handle]),
]:
    function = getattr(neap, name)
    function.restype, function.argtypes = result, arguments


def ask(function, *arguments):
    """The answer as what its JSON says."""
    answer = ctypes.c_void_p()
    code = function(*arguments, None, ctypes.byref(answer))
    said = ctypes.string_at(answer).decode()
    neap.neap_string_free(answer)
    if code != 0:
        sys.exit(f"{function.__name__}: {code}: {said}")
    return json.loads(said)


assert neap.neap_check_abi(1) == 0
own = neap.neap_new(None)
states, over = [], threading.Event()


@EVENT
def hear(event, _):
    if event is None:
        over.set()
        return
    kind = json.loads(event)["kind"]
    if kind.startswith("process.") and kind.split(".")[1] in ("starting", "running", "stopping", "stopped"):
        states.append(kind.split(".")[1])


events = neap.neap_events_open(own, 0, None)
assert neap.neap_stream_callback(events, hear, None) == 0
made = ask(neap.neap_create, own, b"web", json.dumps({"command": ["sleep", "1000"]}).encode(), 0)
states.append(made["process"]["state"])
assert ask(neap.neap_start, own, b"web", 60000)["outcomes"][0]["state"] == "running"
assert ask(neap.neap_describe, own, b"web")["spec"]["command"] == ["sleep", "1000"]
ask(neap.neap_stop, own, b"web", -1)
assert neap.neap_free(own) == 0
# The library's thread reads to the end, which a close would cut short.
assert over.wait(60)
assert neap.neap_stream_close(events) == 0
print(*states)
