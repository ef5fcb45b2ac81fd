"""What does a streamed chunk cost the processor, beside nginx passing it on?

64 streams at once, a chunk every 10 ms each, so that every chunk is read and written by itself. The cost of
opening a stream (key check, connection, record) is in it, spread over its chunks as in a real call.
"""

import uvloop

from bench.figures import Figure, Settings, at_most, median_of
from bench.processes import Server, on_core
from bench.servers import gateway, nginx_proxy, stream_upstream
from bench.streams import CHAT, MESSAGES_API, Dialect, run_streams

STREAMS = 64
CHUNKS = 300  # a real answer is hundreds of chunks
INTERVAL_MS = 10


def cpu_us_per_chunk(server: Server, dialect: Dialect, key: str, each: int) -> float:
    """Processor time of the server for one upstream chunk, in microseconds."""
    before_s = server.cpu_s()
    streams = uvloop.run(run_streams(server.port, dialect.request(key), dialect.terminal, STREAMS, each))
    return (server.cpu_s() - before_s) * 1e6 / (streams * CHUNKS)


def measure(settings: Settings) -> list[Figure]:
    folder = settings.sub("stream")
    each = max(1, round(settings.seconds * 1000 / (CHUNKS * INTERVAL_MS)))
    core = settings.server_core
    with (
        stream_upstream(folder, settings.load_core, chunks=CHUNKS, interval_ms=INTERVAL_MS, first_ms=0) as up,
        nginx_proxy(up.port, folder, core, is_streaming=True) as proxy,
        gateway(up.port, folder, core) as ours,
        on_core(settings.load_core),
    ):
        rounds = [
            (
                cpu_us_per_chunk(proxy, CHAT, ours.key, each),
                cpu_us_per_chunk(ours.server, CHAT, ours.key, each),
                cpu_us_per_chunk(ours.server, MESSAGES_API, ours.key, each),
            )
            for _ in range(settings.rounds)
        ]
    nginx_us, passed_us, translated_us = (list(column) for column in zip(*rounds, strict=True))
    passed = [a / b for a, b in zip(passed_us, nginx_us, strict=True)]
    translated = [a / b for a, b in zip(translated_us, nginx_us, strict=True)]
    return [
        median_of("nginx proxy_pass, CPU per chunk", nginx_us, "µs"),
        median_of("Chat → Chat, CPU per chunk", passed_us, "µs"),
        median_of("Messages ← Chat, CPU per chunk", translated_us, "µs"),
        median_of("Chat → Chat ÷ nginx", passed, "", at_most(1.6)),
        median_of("Messages ← Chat ÷ nginx", translated, "", at_most(3)),
    ]
