"""A configuration is read whole or refused with the place, the value and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from modelway.config import Config, ConfigError, load, resolve_key, unknown_variables, valkey_of

TARGETS = "targets: [{provider: local}]"


def read(folder: Path, text: str, environ: Mapping[str, str] | None = None, **overrides: object) -> Config:
    path = folder / "modelway.yaml"
    path.write_text(text)
    return load(path, environ or {}, **overrides)


def refusal(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, environ)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot: 3", ":1: `prot`: there is no such setting; did you mean `port`?"),
        ("host: 127.0.0.1\nport: many", ":2: `port`: Expected `int`, got `str` (it is 'many')"),
        ("port: 1\nport: 2", ":2: `port` is given twice, first in line 1"),
        ("log_level: loud", "it must be one of debug, info, warning, error (it is 'loud')"),
        ("engine: {start: later}", "`engine.start`: it must be one of auto, at_start, first_use, never"),
        ("engine: {thread: 2}", "`engine.thread`: there is no such setting; did you mean `threads`?"),
        ("providers: [{name: a, kind: openia}]", "`providers[0].kind`: it must be one of openai, anthropic"),
        (
            "providers:\n- {name: a, kind: openai, base_url: x}",
            ":2: `providers[0].base_url`: it must be an address",
        ),
        ("providers: [{name: a, kind: openai-compatible}]", "needs a `base_url` such as http"),
        ("providers: [{name: local, kind: openai}]", "`local` is the name and the kind of the model inside"),
        ("providers: [{name: mine, kind: local}]", "`local` is the name and the kind of the model inside"),
        ("providers: [{name: a, kind: openai}, {name: a, kind: openai}]", "two providers are named 'a'"),
        ("models: [{id: x, targets: [{provider: q}]}]", "no provider is named 'q'; there are: local"),
        ("engine: {start: never}\nmodels: [{id: x, targets: [{provider: local}]}]", "there are: none"),
        (f"models: [{{id: x, {TARGETS}}}, {{id: X, {TARGETS}}}]", "'X' is already the name of models[0]"),
        (f"models: [{{id: x, price: {{input: -3, output: 1}}, {TARGETS}}}]", "`models[0].price.input`"),
        (f"models: [{{id: x, price: {{input: abc, output: 1}}, {TARGETS}}}]", "at most 9 decimal places"),
        (f"models: [{{id: x, price: {{input: 1e-11, output: 1}}, {TARGETS}}}]", "at most 9 decimal places"),
        ("trusted_proxies: [10.0.0.0/8, nearby]", "`trusted_proxies[1]`: it must be an address or network"),
        ("workers: 2", "2 workers need PostgreSQL"),
        ("valkey: somewhere", ":1: `valkey`: it must be an address such as valkey://127.0.0.1:6379"),
        ("valkey: valkey://127.0.0.1:many", ":1: `valkey`: the port or the number of the database is none"),
        ("valkey: env:NOT_THERE", ":1: `valkey`: the variable NOT_THERE is not set"),
        ("limits: {requests_per_minute: 0}", "`limits.requests_per_minute`: Expected `int` >= 1 (it is 0)"),
        ("limits: {concurency: 2}", "there is no such setting; did you mean `concurrency`?"),
        ("- a", ":1: the file holds list"),
        ("a: [", "not YAML"),
    ],
)
def test_a_fault_names_its_place_and_what_would_be_right(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "providers: [{name: lab, api_key: sk-live-canary, base_url: http://a/v1}]",
        "database: mysql://user:canary@host/db",
        "secret: canary",
        "providers: [{name: a, kind: openai, base_url: 'ftp://user:canary@host'}]",
        "token: canary",
    ],
)
def test_a_fault_shows_no_secret(tmp_path: Path, text: str) -> None:
    assert "canary" not in refusal(tmp_path, text)


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    environ = {"MODELWAY_PORT": "2", "MODELWAY_ENGINE_THREADS": "3", "MODELWAY_HOST": "::1"}

    config = read(tmp_path, "port: 1\nengine: {slots: 4}", environ, host="127.0.0.1")

    assert (config.port, config.host) == (2, "127.0.0.1")
    assert (config.engine.threads, config.engine.slots) == (3, 4)


def test_a_variable_at_fault_is_named_instead_of_the_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, "port: 1", {"MODELWAY_PORT": "abc"}).startswith("MODELWAY_PORT: ")
    assert refusal(tmp_path, "", {"MODELWAY_SECRET": "123456"}).startswith("MODELWAY_SECRET: ")


def test_a_variable_that_sets_nothing_is_pointed_out() -> None:
    assert unknown_variables({"MODELWAY_PROT": "1", "MODELWAY_API_KEY": "k", "HOME": "/"}) == [
        "MODELWAY_PROT sets nothing; did you mean MODELWAY_PORT?"
    ]


def test_folders_of_the_file_stand_beside_it_and_others_where_one_is(tmp_path: Path) -> None:
    assert read(tmp_path, "").data_dir == str(tmp_path / ".modelway")
    assert read(tmp_path, "data_dir: d\ncards: c").cards == str(tmp_path / "c")
    assert read(tmp_path, "data_dir: d", {"MODELWAY_DATA_DIR": "here"}).data_dir == "here"


def test_a_provider_of_the_environment_may_be_a_target(tmp_path: Path) -> None:
    text = "models: [{id: x, targets: [{provider: openai}]}]"

    assert read(tmp_path, text, {"OPENAI_API_KEY": "k"}).models[0].targets[0].provider == "openai"
    assert "no provider is named 'openai'" in refusal(tmp_path, text)


def test_a_key_is_looked_up_and_stripped_of_its_line_end(tmp_path: Path) -> None:
    row = read(tmp_path, "providers: [{name: a, kind: openai, api_key: env:KEY}]").providers[0]

    assert resolve_key(row, {"KEY": "sk-1\n"}) == "sk-1"
    assert resolve_key(row, {}) is None


def test_where_limits_are_counted_is_an_address_or_a_variable_and_never_shown(tmp_path: Path) -> None:
    text, url = "valkey: env:COUNTERS", "valkeys://us:s3cret-canary@counters.example:7000/2"
    environ = {"COUNTERS": url}

    address = valkey_of(read(tmp_path, text, environ), environ)

    assert address is not None
    assert (address.host, address.port, address.database, address.tls) == ("counters.example", 7000, 2, True)
    assert address.password == "s3cret-canary"
    for wrong in ("valkey://:s3cret-canary@h:port", "valkey://:s3cret-canary@h/x", "http://:s3cret-canary@h"):
        assert "canary" not in refusal(tmp_path, text, {"COUNTERS": wrong})
        assert "canary" not in refusal(tmp_path, f"valkey: {wrong}")
