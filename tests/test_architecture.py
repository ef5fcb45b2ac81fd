"""The floors of ARCHITECTURE.md hold: who may import whom, who may touch a socket, what nobody may call.

Every rule is a function from one parsed module to sentences about what breaks it, so that each can be shown
to fail on a small bad example before it is trusted with the real tree.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
PACKAGE = "modelway"
REASON_WORDS_MIN = 2  # "as above" says why; fewer words do not


@dataclass(frozen=True)
class Module:
    """One source file, parsed; `path` is relative to the package: `calls/serve.py`."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def floor(self) -> str:
        """The package or file directly below `modelway`: `calls`, `cli`."""
        return self.path.split("/")[0].removesuffix(".py")

    @property
    def name(self) -> str:
        parts = [PACKAGE, *self.path.removesuffix(".py").removesuffix("/__init__").split("/")]
        return ".".join(part for part in parts if part != "__init__")

    @property
    def comments(self) -> dict[int, str]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def read_floors(markdown: str) -> dict[str, int]:
    """Floor name → height, 0 on top, from the one line of a code block that has arrows in it."""
    lines = [line for block in re.findall(r"```\w*\n(.*?)```", markdown, re.S) for line in block.splitlines()]
    arrows = [line for line in lines if line.startswith("cli →")]
    assert len(arrows) == 1, (
        f"ARCHITECTURE.md has {len(arrows)} lines of floors in its code blocks; one is wanted"
    )
    heights = enumerate(arrows[0].split("→"))
    return {name.strip(): height for height, group in heights for name in group.split("|")}


FLOORS = read_floors((ROOT / "ARCHITECTURE.md").read_text())
PURE = {name for name, height in FLOORS.items() if height >= FLOORS["protocols"]}

# Beside the floors: who may import these, and what they may import themselves.
BESIDE = {
    "observe": {"users": {n for n, h in FLOORS.items() if h <= FLOORS["calls"]}, "uses": PURE},
    # A part of `app`: HTTP, and nothing of what is said in it.
    "server": {"users": {"app"}, "uses": {"conversation"}},
    # A part of `cli`: processes, and nothing of what they do.
    "workers": {"users": {"cli"}, "uses": set()},
    # A part of `app`: what the configuration makes of providers, models and cards.
    "supply": {"users": {"app", "cli"}, "uses": {n for n, h in FLOORS.items() if h > FLOORS["calls"]}},
    "config": {
        "users": {"app", "cli", "supply"},
        "uses": {n for n, h in FLOORS.items() if h > FLOORS["calls"]},
    },
}
ENTRY = {"__init__", "__main__"}  # the version, and `python -m modelway`

# Narrower than the floors: the playground is a client of the public API; a provider does not know who pays.
NEVER = {
    ("web", "modelway.protocols"),
    ("providers", "modelway.accounts.keys"),
    ("providers", "modelway.accounts.roles"),
}


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported, `from a import b` as `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def may_import(user: str, name: str) -> bool:
    """Whether floor `user` may import `name`, which is one of ours."""
    used = name.split(".")[1]
    if user == used or user in ENTRY or used.startswith("__"):
        return True
    if any(user == banned_user and is_within(name, banned) for banned_user, banned in NEVER):
        return False
    if used in BESIDE:
        return user in BESIDE[used]["users"]
    if user in BESIDE:
        return used in BESIDE[user]["uses"]
    return user in FLOORS and used in FLOORS and FLOORS[user] < FLOORS[used]


def upward_or_sideways_imports(module: Module) -> Iterator[str]:
    if module.floor not in FLOORS.keys() | BESIDE.keys() | ENTRY:
        yield f"{module.path}: `{module.floor}` stands on no floor of ARCHITECTURE.md"
    for line, name in imports(module.tree):
        if name.startswith(f"{PACKAGE}.") and not may_import(module.floor, name):
            yield f"{module.path}:{line}: `{module.floor}` may not import `{name}`"


def one_protocol_importing_another(module: Module) -> Iterator[str]:
    parts = module.path.split("/")
    if parts[0] != "protocols" or len(parts) < 3:
        return
    for line, name in imports(module.tree):
        other = name.split(".")[2:3] if name.startswith(f"{PACKAGE}.protocols.") else []
        if other and other != [parts[1]] and (SOURCE / PACKAGE / "protocols" / other[0]).is_dir():
            yield f"{module.path}:{line}: protocol `{parts[1]}` imports protocol `{other[0]}`"


def relative_imports(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"{module.path}:{node.lineno}: relative import; write `from {PACKAGE}.… import …`"


def imports_inside_functions(module: Module) -> Iterator[str]:
    comments = module.comments
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for function in ast.walk(module.tree):
        if not isinstance(function, functions):
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            comment = re.sub(r"#|noqa(: *[A-Z0-9, ]+)?", " ", comments.get(node.lineno, ""))
            if len(re.findall(r"[A-Za-z]+", comment)) < REASON_WORDS_MIN:
                yield f"{module.path}:{node.lineno}: import inside `{function.name}` gives no reason"


# module → the files (or folders, with a slash) that may import it
ENDS_OF_THE_STACK = ("app.py", "cli/")
UPSTREAM_ONLY = ("providers/upstream.py", "engine/")
SOCKET_MODULES = {
    "aiohttp": UPSTREAM_ONLY,
    "httptools": ("providers/", "server/"),
    "http.client": UPSTREAM_ONLY,
    "http.server": (),
    "httpx": (),
    "psycopg": ("store/",),
    "requests": (),
    "smtplib": (),
    "socket": (
        *("providers/upstream.py", "engine/", "limits/valkey.py", "store/", "server/listener.py"),
        *ENDS_OF_THE_STACK,
    ),
    "socketserver": (),
    "sqlalchemy": ("store/",),
    "sqlite3": ("store/",),
    "urllib.request": ("engine/", "cli/"),
    "valkey": (),
}
SOCKET_CALLS = {
    "open_connection",
    "open_unix_connection",
    "start_server",
    "create_connection",
    "create_server",
}


def stands_in(path: str, allowed: tuple[str, ...]) -> bool:
    return any(path == place or (place.endswith("/") and path.startswith(place)) for place in allowed)


def sockets_in_the_wrong_place(module: Module) -> Iterator[str]:
    for line, name in imports(module.tree):
        for banned, allowed in SOCKET_MODULES.items():
            if is_within(name, banned) and not stands_in(module.path, allowed):
                yield f"{module.path}:{line}: `{banned}` belongs in {', '.join(allowed) or 'no module'}"
    for line, call in calls(module.tree):
        is_socket = call.rpartition(".")[2] in SOCKET_CALLS and "." in call
        if is_socket and not stands_in(module.path, SOCKET_MODULES["socket"]):
            yield f"{module.path}:{line}: `{call}` touches a socket"


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute; an unknown start is left out: `f().c` is `.c`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, dotted(node.func)


IMPURE_MODULES = {
    *("asyncio", "http", "io", "multiprocessing", "os", "random", "secrets", "select", "shutil", "signal"),
    *("socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib.request", "uuid"),
}
IMPURE_CALLS = {"open", "input", "print"}
CLOCK_CALLS = {"now", "today", "utcnow"}


def impure_pure_floors(module: Module) -> Iterator[str]:
    if module.floor not in PURE:
        return
    for line, name in imports(module.tree):
        if any(is_within(name, banned) for banned in IMPURE_MODULES):
            yield f"{module.path}:{line}: `{module.floor}` is pure; `{name}` comes in as an argument"
        if name.split(".")[0] == "pathlib" and module.floor != "catalog":
            yield f"{module.path}:{line}: `{module.floor}` reads no files, only catalog does"
    for line, call in calls(module.tree):
        if call in IMPURE_CALLS or (
            call.startswith(("datetime", "date.")) and call.split(".")[-1] in CLOCK_CALLS
        ):
            yield f"{module.path}:{line}: `{module.floor}` is pure; it may not call `{call}`"


BANNED_CALLS = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__"), "runs text as code"),
    **dict.fromkeys(("ast.literal_eval", "literal_eval"), "data is JSON or YAML, parsed by their parsers"),
    **dict.fromkeys(("importlib.import_module", "import_module"), "hides an import from this test"),
    **dict.fromkeys(("globals", "vars"), "is a way round the imports"),
    **dict.fromkeys(("yaml.full_load", "yaml.unsafe_load"), "builds any object: yaml.safe_load"),
    **dict.fromkeys(("os.system", "os.popen", "subprocess.getoutput"), "goes through a shell"),
    "tempfile.mktemp": "races; use mkstemp",
}
BANNED_MODULES = {"pickle", "marshal", "shelve", "dill", "imp"}
BANNED_NAMES = {"__builtins__", "__loader__"}


def loads_safely(call: ast.Call) -> bool:
    """Whether `yaml.load` is given SafeLoader or its C twin."""
    loaders = [*call.args[1:], *(word.value for word in call.keywords if word.arg == "Loader")]
    return [dotted(loader) for loader in loaders] in (["yaml.SafeLoader"], ["yaml.CSafeLoader"])


def banned_things(module: Module) -> Iterator[str]:
    for line, call in calls(module.tree):
        if call in BANNED_CALLS:
            yield f"{module.path}:{line}: `{call}` {BANNED_CALLS[call]}"
    for line, name in imports(module.tree):
        if name.split(".")[0] in BANNED_MODULES:
            yield f"{module.path}:{line}: `{name}` turns bytes into code"
        if name in BANNED_CALLS:
            yield f"{module.path}:{line}: `{name}` {BANNED_CALLS[name]}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and node.id in BANNED_NAMES:
            yield f"{module.path}:{node.lineno}: `{node.id}` is a way round the imports"
        if isinstance(node, ast.Subscript) and dotted(node.value) == "sys.modules":
            yield f"{module.path}:{node.lineno}: `sys.modules[…]` is a way round the imports"
        if isinstance(node, ast.Call) and dotted(node.func) == "yaml.load" and not loads_safely(node):
            yield f"{module.path}:{node.lineno}: `yaml.load` builds any object without a SafeLoader"
        if isinstance(node, ast.keyword) and node.arg == "shell" and ast.unparse(node.value) != "False":
            yield f"{module.path}:{node.value.lineno}: `shell=` goes through a shell"


def missing_docstrings(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield f"{module.path}:1: a module opens with a sentence on what it is"


Rule = Callable[[Module], Iterator[str]]
RULES: tuple[Rule, ...] = (
    upward_or_sideways_imports,
    one_protocol_importing_another,
    relative_imports,
    imports_inside_functions,
    sockets_in_the_wrong_place,
    impure_pure_floors,
    banned_things,
    missing_docstrings,
)


def modules() -> list[Module]:
    files = sorted((SOURCE / PACKAGE).rglob("*.py"))
    return [Module(path.relative_to(SOURCE / PACKAGE).as_posix(), path.read_text()) for path in files]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_code_keeps_to_the_floors(rule: Rule) -> None:
    broken = [sentence for module in modules() for sentence in rule(module)]

    assert not broken, "\n" + "\n".join(broken)


def test_every_floor_has_a_package_and_the_line_reads_as_designed() -> None:
    files = {module.floor for module in modules()}

    assert (
        FLOORS["cli"] < FLOORS["app"] < FLOORS["api"] == FLOORS["web"] < FLOORS["calls"] == FLOORS["manage"]
    )
    assert FLOORS["manage"] < FLOORS["providers"] < FLOORS["protocols"] < FLOORS["conversation"]
    assert {"protocols", "accounts", "catalog", "conversation"} == PURE
    assert FLOORS.keys() <= files, f"no code yet on {FLOORS.keys() - files}"


BAD: list[tuple[Rule, str, str]] = [
    (upward_or_sideways_imports, "store/keys.py", "from modelway.calls.serve import serve"),
    (upward_or_sideways_imports, "store/keys.py", "import modelway.limits.rules"),
    (upward_or_sideways_imports, "store/keys.py", "from modelway import limits"),
    (upward_or_sideways_imports, "web/render.py", "from modelway.api import routes"),
    (upward_or_sideways_imports, "web/render.py", "from modelway.protocols.sse import Frame"),
    (upward_or_sideways_imports, "providers/upstream.py", "from modelway.accounts.keys import mask"),
    (upward_or_sideways_imports, "providers/upstream.py", "from modelway.observe import log"),
    (upward_or_sideways_imports, "calls/serve.py", "from modelway.config import Config"),
    (upward_or_sideways_imports, "observe.py", "from modelway.store.keys import Key"),
    (upward_or_sideways_imports, "config.py", "from modelway.app import build"),
    (upward_or_sideways_imports, "app.py", "from modelway.cli import main"),
    (upward_or_sideways_imports, "utils/strings.py", "import json"),
    (upward_or_sideways_imports, "calls/serve.py", "if TYPE_CHECKING:\n    from modelway.api import routes"),
    (relative_imports, "calls/serve.py", "from .route import route"),
    (relative_imports, "calls/serve.py", "from . import route"),
    (imports_inside_functions, "cli.py", "def f():\n    import json"),
    (imports_inside_functions, "cli.py", "async def f():\n    from json import loads  # noqa: PLC0415"),
    (imports_inside_functions, "cli.py", "class A:\n    def f(self):\n        import json  # lazy"),
    (upward_or_sideways_imports, "server/listener.py", "from modelway.api.routes import Router"),
    (upward_or_sideways_imports, "api/routes.py", "from modelway.server.exchange import App"),
    (sockets_in_the_wrong_place, "calls/serve.py", "import aiohttp"),
    (sockets_in_the_wrong_place, "api/edge.py", "import httptools"),
    (sockets_in_the_wrong_place, "server/exchange.py", "import socket"),
    (sockets_in_the_wrong_place, "providers/registry.py", "from aiohttp import ClientSession"),
    (sockets_in_the_wrong_place, "manage/keys.py", "from sqlalchemy import select"),
    (sockets_in_the_wrong_place, "web/render.py", "import urllib.request"),
    (sockets_in_the_wrong_place, "web/render.py", "from urllib import request"),
    (sockets_in_the_wrong_place, "limits/memory.py", "import socket"),
    (sockets_in_the_wrong_place, "calls/relay.py", "asyncio.open_connection('h', 1)"),
    (sockets_in_the_wrong_place, "calls/relay.py", "loop().create_connection(P, 'h', 1)"),
    (impure_pure_floors, "conversation/events.py", "import time"),
    (impure_pure_floors, "accounts/keys.py", "from secrets import token_hex"),
    (impure_pure_floors, "accounts/money.py", "from datetime import datetime\ndatetime.now()"),
    (impure_pure_floors, "accounts/money.py", "import datetime\ndatetime.datetime.now()"),
    (impure_pure_floors, "protocols/sse.py", "open('x')"),
    (impure_pure_floors, "protocols/sse.py", "from pathlib import Path"),
    (banned_things, "cli.py", "eval('1')"),
    (banned_things, "cli.py", "exec('1')"),
    (banned_things, "cli.py", "from ast import literal_eval"),
    (banned_things, "cli.py", "ast.literal_eval('1')"),
    (banned_things, "cli.py", "import pickle"),
    (banned_things, "cli.py", "from pickle import loads"),
    (banned_things, "cli.py", "yaml.load(text)"),
    (banned_things, "cli.py", "yaml.load(text, Loader=yaml.Loader)"),
    (banned_things, "cli.py", "importlib.import_module('modelway.calls')"),
    (banned_things, "cli.py", "getattr(__builtins__, 'eval')('1')"),
    (banned_things, "cli.py", "sys.modules['modelway.calls']"),
    (banned_things, "cli.py", "globals()['eval']('1')"),
    (banned_things, "cli.py", "run('ls', shell=True)"),
    (missing_docstrings, "cli.py", "import json"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BAD, ids=lambda value: getattr(value, "__name__", value))
def test_a_rule_sees_what_breaks_it(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Module(path, text)))


def test_one_protocol_may_not_import_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("openai_chat", "anthropic_messages"):
        (tmp_path / PACKAGE / "protocols" / name).mkdir(parents=True)
    monkeypatch.setattr(f"{__name__}.SOURCE", tmp_path)
    text = "from modelway.protocols.openai_chat.wire import Body"

    assert list(one_protocol_importing_another(Module("protocols/anthropic_messages/requests.py", text)))
    assert not list(one_protocol_importing_another(Module("protocols/openai_chat/requests.py", text)))


GOOD = [
    (
        "calls/serve.py",
        '"""The page."""\nfrom modelway.store.keys import Key\nfrom modelway.observe import log',
    ),
    ("api/routes.py", '"""Routes."""\nfrom modelway import __version__\nfrom modelway.calls import serve'),
    (
        "app.py",
        '"""All."""\nimport socket\nfrom modelway.config import Config\nfrom modelway.web import render',
    ),
    (
        "cli.py",
        '"""Cli."""\ndef f():\n    import json  # noqa: PLC0415 - only `models` needs it, it costs 20 ms',
    ),
    ("store/database.py", '"""Db."""\nfrom sqlalchemy import select\nfrom modelway.accounts.keys import Key'),
    ("catalog/cards.py", '"""Cards."""\nimport re\nfrom importlib import resources\nre.compile("x")'),
    ("store/seed.py", '"""Seed."""\nyaml.load(text, Loader=yaml.CSafeLoader)'),
    ("engine/process.py", '"""Child."""\nimport asyncio\nasyncio.open_connection("127.0.0.1", 1)'),
]


@pytest.mark.parametrize(("path", "text"), GOOD, ids=[path for path, _ in GOOD])
def test_no_rule_objects_to_what_is_allowed(path: str, text: str) -> None:
    assert not [sentence for rule in RULES for sentence in rule(Module(path, text))]
