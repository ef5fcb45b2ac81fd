"""How fast does the local model speak through the gateway, beside llama.cpp itself?

The same engine process answers both: the gateway publishes its address and token for its workers in the data
directory, and the bench reads them there. Calls take turns, and turns at being the first of a round;
temperature 0 makes the answers the same length.
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
        sides = {"direct": (engine["base_url"], engine["api_key"]), "through": (base_url, key)}
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(settings.rounds):
            for side in sorted(sides, reverse=bool(number % 2)):
                rates[side].append(stream(*sides[side], TOKENS).tokens_per_s)
    direct, through = rates["direct"], rates["through"]
    return [
        median_of("llama.cpp directly", direct, "tokens/s"),
        median_of("through Modelway", through, "tokens/s"),
        median_of(
            "Modelway ÷ llama.cpp", [a / b for a, b in zip(through, direct, strict=True)], "", at_least(0.95)
        ),
    ]
