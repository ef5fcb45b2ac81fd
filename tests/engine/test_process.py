"""The real engine: it answers, comes back when killed, is shared by processes, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from modelway.conversation.errors import CallError
from modelway.engine.leadership import EngineAddress, Leadership
from modelway.engine.process import Engine
from modelway.engine.settings import EngineSettings
from modelway.engine.spawn import Child
from modelway.engine.weights import WeightsError, find_or_fetch

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The gateway runs on uvloop; the two loops start and watch processes in different ways."""
    return "asyncio", {"use_uvloop": request.param}


TRIES_MAX = 500  # 10 s and more, far beyond what anything here takes


def settings(data_dir: Path, **chosen: object) -> EngineSettings:
    facts: dict[str, object] = {
        "model_path": find_or_fetch(data_dir, None),
        "data_dir": data_dir,
        "threads": 1,  # tests share the machine
        "context_tokens": 512,
        "wait_s": 60,
    }
    return EngineSettings(**(facts | chosen))  # type: ignore[arg-type]  # checked by the dataclass's own user


@asynccontextmanager
async def running(
    chosen: EngineSettings, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncIterator[Engine]:
    engine = Engine(chosen, sleep=sleep)
    try:
        yield engine
    finally:
        await engine.stop()


async def answer(address: EngineAddress, api_key: str | None = None, **fields: object) -> tuple[int, Any]:
    messages = [{"role": "user", "content": "Say hello."}]
    body = {"messages": messages, "max_tokens": 4, "temperature": 0} | fields
    headers = {"content-type": "application/json", "authorization": f"Bearer {api_key or address.api_key}"}
    url = f"{address.base_url}/v1/chat/completions"
    return await asyncio.to_thread(_post, Request(url, json.dumps(body).encode(), headers))


def _post(request: Request) -> tuple[int, Any]:
    try:
        with urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def child_pid(data_dir: Path) -> int:
    return int(json.loads((data_dir / "engine.json").read_bytes())["pid"])


def is_gone(pid: int) -> bool:
    """Gone, or dead and not yet collected by whatever parent it has now."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(TRIES_MAX):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came true")


def kill(pid: int) -> None:
    """Kills a child of ours and waits, without the event loop hearing of it, until the kernel is done."""
    os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):  # the loop's own watcher thread was quicker
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def state_of(engine: Engine) -> str:
    return engine.state


async def test_it_answers_a_chat_completion_and_only_to_its_own_credential(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as engine:
        assert state_of(engine) == "stopped"
        address = await engine.address()

        status, reply = await answer(address)
        refused, _ = await answer(address, api_key="another")

        assert state_of(engine) == "ready"
    assert status == 200
    assert reply["model"] == "local/smollm2"
    assert reply["usage"]["completion_tokens"] == 4
    assert refused == 401


async def test_callers_that_come_together_share_one_start(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as engine:
        addresses = await asyncio.gather(*(engine.address() for _ in range(20)))

    assert len({address.base_url for address in addresses}) == 1


async def test_it_can_start_with_the_gateway(tmp_path: Path) -> None:
    async with running(settings(tmp_path, start="at_start")) as engine:
        await engine.start()
        assert state_of(engine) == "starting"
    async with running(settings(tmp_path, start="first_use")) as engine:
        await engine.start()
        assert state_of(engine) == "stopped"


async def test_after_kill_9_the_next_call_is_answered(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as engine:
        first = await engine.address()
        kill(child_pid(tmp_path))

        second = await engine.address()
        status, _ = await answer(second)

        assert engine.restarts == 1
    assert status == 200
    assert second.api_key != first.api_key


async def test_a_death_by_a_signal_without_a_name_is_a_death_like_any_other(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as engine:
        first = await engine.address()
        os.kill(child_pid(tmp_path), signal.SIGRTMIN + 6)
        await until(lambda: engine.failure is not None)
        failure = engine.failure

        second = await engine.address()

        assert engine.restarts == 1
    assert failure == f"it ended (killed by signal {signal.SIGRTMIN + 6})"
    assert second != first


async def test_an_address_that_cannot_be_published_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, failures = children(), [OSError("the disk is full")]
    publish, withdraw = Leadership.publish, Leadership.withdraw

    def publish_later(self: Leadership, address: EngineAddress, pid: int) -> None:
        if failures:
            monkeypatch.setattr(Leadership, "withdraw", withdraw_later)
            raise failures.pop()
        publish(self, address, pid)

    def withdraw_later(self: Leadership) -> None:
        monkeypatch.setattr(Leadership, "withdraw", withdraw)
        raise OSError("the disk is full")

    monkeypatch.setattr(Leadership, "publish", publish_later)
    async with running(settings(tmp_path)) as engine:
        status, _ = await answer(await engine.address())

        assert engine.restarts == 1
        assert len(children() - before) == 1
    assert status == 200
    assert children() == before


async def test_a_call_that_cannot_wait_for_the_restart_gets_a_503_that_says_when(tmp_path: Path) -> None:
    async with running(settings(tmp_path, wait_s=0.05)) as engine:
        with pytest.raises(CallError) as starting:
            await engine.address()
        await until(lambda: state_of(engine) == "ready")
        kill(child_pid(tmp_path))

        with pytest.raises(CallError) as raised:
            await engine.address()

        assert engine.failure == "it ended (killed by SIGKILL)"
    assert starting.value.kind.name == "unavailable"
    assert raised.value.kind.status == 503
    assert raised.value.retry_after_s is not None
    assert raised.value.retry_after_s >= 1


async def test_stop_leaves_no_process_and_no_credential_behind(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as engine:
        await engine.address()
        pid = child_pid(tmp_path)

        await engine.stop()
        await engine.stop()

        assert is_gone(pid)
        assert not (tmp_path / "engine.json").exists()
        assert state_of(engine) == "stopped"
        with pytest.raises(CallError, match="shutting down"):
            await engine.address()


async def test_a_child_that_does_not_leave_is_killed_by_the_stop(tmp_path: Path) -> None:
    async with running(settings(tmp_path, stop_timeout_s=0.1)) as engine:
        await engine.address()
        pid = child_pid(tmp_path)
        os.kill(pid, signal.SIGSTOP)

        await engine.stop()

        assert is_gone(pid)


async def test_an_end_that_is_cancelled_again_and_again_is_still_one(tmp_path: Path) -> None:
    facts = settings(tmp_path)
    child = await Child.start(facts, find_or_fetch(tmp_path, None))
    os.kill(child.pid, signal.SIGSTOP)
    await until(lambda: ") T " in Path(f"/proc/{child.pid}/stat").read_text())

    ending = asyncio.create_task(child.end(timeout_s=0.2))
    for _ in range(3):
        await asyncio.sleep(0.01)
        ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending

    was_ended = is_gone(child.pid)
    if not was_ended:  # the loop would wait for it
        os.kill(child.pid, signal.SIGKILL)
    assert was_ended


async def test_stop_during_a_start_leaves_no_process(tmp_path: Path) -> None:
    before = children()
    engine = Engine(settings(tmp_path, start="at_start"))
    await engine.start()
    await until(lambda: children() != before)

    await engine.stop()

    assert children() == before


def children() -> set[str]:
    lists = Path("/proc/self/task").glob("*/children")
    return {pid for one in lists for pid in one.read_text().split()}


async def test_signals_meant_for_the_gateway_do_not_end_the_child(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as engine:
        address = await engine.address()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            os.kill(child_pid(tmp_path), signal_number)

        status, _ = await answer(address)

        assert engine.restarts == 0
    assert status == 200


async def test_the_credential_is_in_no_argument_no_environment_and_no_readable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-gateway")
    async with running(settings(tmp_path)) as engine:
        address = await engine.address()
        process = Path(f"/proc/{child_pid(tmp_path)}")
        arguments, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        mode = (tmp_path / "engine.json").stat().st_mode & 0o777

    assert address.api_key.encode() not in arguments + environment
    assert b"sk-of-the-gateway" not in environment
    assert mode == 0o600
    assert address.api_key not in repr(address)


async def test_what_callers_write_never_reaches_the_log(tmp_path: Path) -> None:
    logged: list[str] = []
    schema = {"type": "string", "pattern": "(?=callers-secret)x", "maxLength": 2}
    async with running(settings(tmp_path, log=logged.append)) as engine:
        status, _ = await answer(
            await engine.address(),
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        )

    assert status == 200
    assert "ready at" in logged[0]
    assert not any("callers-secret" in line for line in logged)


async def test_a_model_file_that_is_none_is_tried_again_ever_more_slowly(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.gguf"
    garbage.write_bytes(b"GGUF" + bytes(range(256)) * 40)
    waits: list[float] = []
    logged: list[str] = []

    async def sleep(seconds: float) -> None:
        if seconds >= 0.5:  # the backoff; a waiting call looks again more often
            waits.append(seconds)
            seconds = 0
        await asyncio.sleep(seconds)

    async with running(settings(tmp_path, model_path=garbage, log=logged.append), sleep) as engine:
        waiting = asyncio.create_task(engine.address())
        await until(lambda: len(waits) >= 4)
        waiting.cancel()

        assert engine.failure is not None
        assert "garbage.gguf" in engine.failure

    assert waits[:4] == [0.5, 1, 2, 4]
    assert any("garbage.gguf" in line and "starting it again in 2 s" in line for line in logged)


async def test_weights_that_cannot_be_had_are_a_503_to_callers_and_a_reason_to_operators(
    tmp_path: Path,
) -> None:
    def nowhere() -> Path:
        raise WeightsError("the weights cannot be had: the disk is full")

    async with running(settings(tmp_path, model_path=nowhere, wait_s=0.2)) as engine:
        with pytest.raises(CallError, match="could not be started") as raised:
            await engine.address()

        assert state_of(engine) == "backoff"
        assert engine.failure is not None
        assert "the disk is full" in engine.failure
    assert "disk" not in raised.value.message


async def test_a_child_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    before = children()
    hurried = settings(tmp_path, start_timeout_s=0.001)

    with pytest.raises(Exception, match=r"not ready within 0\.001 s"):
        await Child.start(hurried, find_or_fetch(tmp_path, None))

    assert children() == before


OTHER_WORKER = """
import asyncio, sys
from pathlib import Path
from modelway.engine.process import Engine
from modelway.engine.settings import EngineSettings

async def main() -> None:
    data_dir, model = map(Path, sys.argv[1:])
    engine = Engine(EngineSettings(model, data_dir, threads=1, context_tokens=512, wait_s=60))
    print((await engine.address()).base_url, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@asynccontextmanager
async def other_worker(data_dir: Path) -> AsyncIterator[tuple[Process, str]]:
    """A second process of the same installation that has the engine's address."""
    command = [sys.executable, "-c", OTHER_WORKER, str(data_dir), str(find_or_fetch(data_dir, None))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, env=environment)
    try:
        assert process.stdout is not None
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_two_worker_processes_share_one_child(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as engine:
        address = await engine.address()
        async with other_worker(tmp_path) as (_, base_url):
            assert base_url == address.base_url


async def test_a_worker_that_follows_is_ready_and_starts_nothing(tmp_path: Path) -> None:
    async with other_worker(tmp_path) as (_, base_url), running(settings(tmp_path)) as engine:
        before = children()
        address = await engine.address()
        status, _ = await answer(address)

        assert address.base_url == base_url
        assert state_of(engine) == "ready"
        assert children() == before
    assert status == 200


async def test_when_the_leading_worker_is_killed_its_child_dies_and_another_leads(tmp_path: Path) -> None:
    async with other_worker(tmp_path) as (worker, base_url), running(settings(tmp_path)) as engine:
        await engine.address()
        orphan = child_pid(tmp_path)

        worker.kill()
        await worker.wait()
        address = await engine.address()
        status, _ = await answer(address)

        await until(lambda: is_gone(orphan))
        assert address.base_url != base_url
    assert status == 200
