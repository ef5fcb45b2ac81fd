"""What was sent before its hold was written is noted, and found by the next start."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from modelway.conversation.errors import CallError
from modelway.manage.people import create_account
from modelway.store import sent
from modelway.store.database import Database
from modelway.store.entries import UNLIMITED, Hold
from modelway.store.ledger import Ledger
from modelway.store.posting import Granted, Opening
from modelway.store.sent import SentLog, left_behind, taken
from tests.ledger.books import assert_books_agree, hold, lines, new_hold, prepaid, settled, unlimited
from tests.ledger.test_recovery import die, no_hold_is_open
from tests.store.waiting import until

pytestmark = pytest.mark.anyio


def has_notes(path: Path) -> bool:
    return path.read_bytes().strip(b"\0") != b""


def killed(log: SentLog) -> None:
    """What becomes of a process's files when it is gone."""
    log.abandon()


async def test_a_call_that_was_sent_and_never_written_is_on_the_statement(
    database: Database, tmp_path: Path
) -> None:
    account = (await create_account(database, "us")).id
    dead = Ledger(database, sent_folder=tmp_path)
    await dead._joined
    written, ended = (unlimited(new_hold(dead, account)) for _ in range(2))
    for each in (written, ended):
        await dead.reserve(each)
    dead.append(*settled(ended, 70))
    await dead.flush()
    await die(dead)
    lost = unlimited(new_hold(dead, account))
    dead.reserve(lost)
    assert dead._sent is not None
    killed(dead._sent)

    living = Ledger(database, sent_folder=tmp_path)
    await living._joined
    await until(lambda: no_hold_is_open(database))

    found = {line.attempt_id: (line.kind, line.amount_nano_usd) for line in await lines(database, "us")}
    assert found == {
        written.attempt_id: ("void", 0),
        ended.attempt_id: ("charge", 70),
        lost.attempt_id: ("void", 0),
    }
    await living.close()
    await assert_books_agree(database)
    assert left_behind(tmp_path) == []


async def test_nothing_is_noted_of_a_call_that_waits_for_its_hold(database: Database, tmp_path: Path) -> None:
    account = await prepaid(database, 100)
    ledger = Ledger(database, sent_folder=tmp_path)

    await hold(ledger, account, 10)

    assert not any(map(has_notes, left_behind(tmp_path)))
    await ledger.close()


async def test_a_call_that_cannot_be_noted_is_not_sent(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sent, "FILE_BYTES_MAX", 0)
    monkeypatch.setattr(sent, "ROOM_BYTES", 100)  # a line does not fit, and the file may not grow
    ledger = Ledger(database, sent_folder=tmp_path)
    await ledger._joined
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, usual[1]))
    try:
        with pytest.raises(CallError, match="does not answer"):
            ledger.reserve(unlimited(new_hold(ledger, "acct_1")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)

    assert not ledger._openings
    await ledger.close()


async def test_a_living_workers_notes_are_its_own(tmp_path: Path) -> None:
    log = SentLog(tmp_path, "wrk_1")
    for path in left_behind(tmp_path):
        with taken(path) as noted:
            assert noted == []
    assert len(left_behind(tmp_path)) == 2

    killed(log)
    for path in left_behind(tmp_path):
        with taken(path):
            pass
    assert left_behind(tmp_path) == []


async def test_a_file_is_emptied_when_all_that_is_noted_in_it_is_written(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sent, "FILE_BYTES_MAX", 1)
    ledger = Ledger(database)
    log = SentLog(tmp_path, "wrk_1")
    waiting: list[Opening] = []

    def note() -> list[bool]:
        waiting.append(Opening(unlimited(new_hold(ledger, "acct_1"))))
        log.note(waiting[-1].hold, waiting[-1])
        return [has_notes(path) for path in left_behind(tmp_path)]

    assert [note() for _ in range(3)] == [[True, False], [True, True], [True, True]]
    waiting[0].failed(CallError("unavailable", "away"))
    assert note() == [True, True], "what could not be written stays"
    waiting[3].ended(Granted(0))
    assert note() == [False, True]

    log.close()
    await ledger.close()


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(
            lambda line: bytes(len(line) // 2) + line[len(line) // 2 :], id="a page that never got down"
        ),
        pytest.param(lambda line: b'["hold of another release"]\n', id="another release's"),
        pytest.param(lambda line: b"\xff\xfe" + line, id="no text"),
    ],
)
async def test_a_line_that_cannot_be_read_holds_up_neither_the_others_nor_the_start(
    database: Database,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoilt: Callable[[bytes], bytes],
) -> None:
    account = (await create_account(database, "us")).id
    dead = Ledger(database, sent_folder=tmp_path)
    await dead._joined
    await die(dead)
    lost = [unlimited(new_hold(dead, account)) for _ in range(3)]
    for each in lost:
        dead.reserve(each)
    assert dead._sent is not None
    killed(dead._sent)
    path = next(each for each in left_behind(tmp_path) if has_notes(each))
    noted = path.read_bytes().rstrip(b"\0").splitlines(keepends=True)
    path.write_bytes(b"".join([noted[0], spoilt(noted[1]), noted[2]]))
    kept = path.read_bytes()

    living = Ledger(database, sent_folder=tmp_path)
    async with asyncio.timeout(10):
        await living._joined
    await until(lambda: no_hold_is_open(database))

    found = [line.attempt_id for line in await lines(database, "us")]
    assert found == [lost[0].attempt_id, lost[2].attempt_id]
    assert path.with_suffix(".bad").read_bytes() == kept
    said = [record.getMessage() for record in caplog.records if "cannot be read" in record.getMessage()]
    assert len(said) == 1
    assert "1 of 3 lines" in said[0]
    assert account not in caplog.text
    await living.close()
    await assert_books_agree(database)
    assert left_behind(tmp_path) == []


async def test_a_line_behind_a_page_that_never_got_down_is_read(tmp_path: Path) -> None:
    log = SentLog(tmp_path, "wrk_1")
    noted = Hold("req_1", "acct_1", "key_1", None, "wrk_1", 0, UNLIMITED, 1, "chat", "small", True, None)
    log.note(noted, Opening(noted))
    killed(log)
    path = next(each for each in left_behind(tmp_path) if has_notes(each))
    path.write_bytes(bytes(4096) + path.read_bytes())

    with taken(path) as found:
        assert found == [noted]


async def test_a_line_that_was_cut_off_is_passed_over(database: Database, tmp_path: Path) -> None:
    ledger = Ledger(database)
    log = SentLog(tmp_path, "wrk_1")
    noted = [unlimited(new_hold(ledger, "acct_1")) for _ in range(2)]
    for each in noted:
        log.note(each, Opening(each))
    killed(log)
    path = left_behind(tmp_path)[0]
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-7])

    with taken(path) as found:
        assert found == noted[:1]
    await ledger.close()
