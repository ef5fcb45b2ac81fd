"""The child process that is the local model: llama.cpp's server on a loopback port, nothing of ours inside.

It is told everything in one line of JSON on standard input, the credential included, so that neither
the argument list nor the environment shows it. It answers with one line of JSON on standard output:
`{"port": 41234}` when it can be called, or `{"error": "…"}`. It leaves when standard input ends, and
ignores SIGINT and SIGTERM: those are sent to the whole group by terminals and service managers while
the gateway still has streams to finish; the gateway ends the child by closing its input.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import threading
from typing import Any
from urllib.parse import urlsplit

import xllamacpp

PR_SET_PDEATHSIG = 1  # linux/prctl.h
HEALTH_TIMEOUT_S = 10  # the model is loaded by then; `/health` answers in a millisecond


def main() -> None:
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    settings = json.loads(line)
    die_with(settings["parent_pid"])
    threading.Thread(target=leave_when_input_ends, daemon=True).start()
    try:
        server = xllamacpp.Server(parameters(settings))
        port = urlsplit(server.listening_address).port
        assert port is not None, "the server always says its port"
        check_health(port)
    except Exception as error:  # the edge of this process: whatever it was, the parent is told
        say({"error": f"{type(error).__name__}: {error}"})
        os._exit(1)
    say({"port": port})
    threading.Event().wait()


def die_with(parent_pid: int) -> None:
    """The kernel kills us when the parent ends, however it ends (Linux; elsewhere input's end does)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the request took hold
        os._exit(1)


def leave_when_input_ends() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)  # at once: llama.cpp's own way out waits for what it still generates


def parameters(settings: dict[str, Any]) -> Any:
    """llama.cpp's parameters; what is not named here keeps its default."""
    params = xllamacpp.CommonParams()
    params.model.path = settings["model_path"]
    params.model_alias = {settings["model_alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the kernel picks a free one
    params.api_keys = [settings["api_key"]]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["context_tokens"] * settings["slots"]  # llama.cpp divides it among the slots
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.cpuparams.poll = 0  # waiting threads sleep: the gateway shares these cores
    params.cpuparams_batch.poll = 0
    params.n_gpu_layers = settings["gpu_layers"]
    params.fit_params = False  # take context and slots as they are told, or fail
    params.cache_ram_mib = settings["prompt_cache_mib"]
    params.use_jinja = True
    params.ui = False
    params.endpoint_slots = False  # it would show callers each other's parameters
    params.cors_origins = ""  # no page in a browser has business here
    params.verbosity = 1  # errors only: llama.cpp logs prompts at higher levels, and a log never holds one
    return params


def check_health(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=HEALTH_TIMEOUT_S) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        status_line = connection.recv(64)
    if b" 200 " not in status_line:
        raise RuntimeError(f"/health answered {status_line!r}")


def say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
