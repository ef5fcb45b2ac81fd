"""How fast does the local model speak through the gateway, beside llama.cpp itself?

The same engine process answers both: the gateway publishes its address and token for its workers in the data
directory, and the bench reads them there. Calls alternate; temperature 0 makes the answers the same length.
"""

import json
from pathlib import Path

from bench.figures import Figure, Settings, at_least, median_of
from bench.local_model import stream, stream_when_loaded
from bench.servers import make_key, serving

TOKENS = 192


def measure(settings: Settings) -> list[Figure]:
    folder = settings.sub("engine")
    options = ["--data-dir", str(folder / "data")]
    key = make_key(folder, options)
    with serving(folder, options) as ours:
        base_url = f"http://127.0.0.1:{ours.port}"
        stream_when_loaded(base_url, key, 8)
        engine = json.loads(Path(folder / "data" / "engine.json").read_text())
        stream(engine["base_url"], engine["api_key"], 8)
        rounds = [
            (
                stream(engine["base_url"], engine["api_key"], TOKENS).tokens_per_s,
                stream(base_url, key, TOKENS).tokens_per_s,
            )
            for _ in range(settings.rounds)
        ]
    direct = [pair[0] for pair in rounds]
    through = [pair[1] for pair in rounds]
    return [
        median_of("llama.cpp directly", direct, "tokens/s"),
        median_of("through Modelway", through, "tokens/s"),
        median_of(
            "Modelway ÷ llama.cpp", [a / b for a, b in zip(through, direct, strict=True)], "", at_least(0.95)
        ),
    ]
