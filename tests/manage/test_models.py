"""The rules about cards that are written here, and how workers hear of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from modelway.catalog.drafts import Fault
from modelway.config import Config, EngineConfig, ModelConfig, ProviderConfig, TargetConfig
from modelway.conversation.errors import CallError
from modelway.manage import models as manage
from modelway.manage.ids import Doer, Source
from modelway.manage.models import Change, Serving, Verdict
from modelway.manage.trail import list_deeds
from modelway.providers.registry import Registry
from modelway.store.cards import CardWatch, StoredCard
from modelway.store.changes import MONEY, count_up
from modelway.store.database import Database
from modelway.supply import Supply

pytestmark = pytest.mark.anyio

LAB = "http://127.0.0.1:9/v1"
OWN = "id: lab/own-1\nvendor: lab\nname: Own 1\nprotocol: chat\ncontext_window_tokens: 1234\n"
US = "acct_1"
OPUS = "anthropic/claude-opus-4-8"
ROWS = (ProviderConfig("lab", "openai-compatible", LAB), ProviderConfig("claude", "anthropic"))
HEARD_S = 5.0  # promised is one; a loaded machine is late


def supply_of(*models: ModelConfig, providers: Sequence[ProviderConfig] = ROWS) -> Supply:
    config = Config(providers=tuple(providers), models=models, engine=EngineConfig(start="never"))
    return Supply(config, {})


SUPPLY = supply_of()
NOW = SUPPLY.registry()


async def save(database: Database, card_id: str, text: str, **words: Any) -> Verdict:
    return await manage.save_card(database, SUPPLY.registry, NOW, card_id, text, US, **words)


async def judge(database: Database, text: str, supply: Supply = SUPPLY) -> Verdict:
    return await manage.judge_card(database, supply.registry, supply.registry(), text)


async def served(database: Database, supply: Supply = SUPPLY) -> Registry:
    return supply.registry(card.text for card in await manage.list_cards(database))


async def test_a_card_of_ones_own_is_kept_as_it_was_written(database: Database) -> None:
    verdict = await save(
        database, "lab/own-1", OWN, source=Source(now_ms=lambda: 7, doer=Doer("api", "key_1"))
    )

    (kept,) = await manage.list_cards(database)
    assert (kept.id, kept.text, kept.changed_at_ms, kept.changed_by) == ("lab/own-1", OWN, 7, "key_1")
    assert verdict.stored == kept == await manage.find_card(database, "lab/own-1")
    (deed,) = await list_deeds(database, US)
    assert (deed.action, deed.subject, deed.key_id, deed.details) == (
        "card.save",
        "lab/own-1",
        "key_1",
        {"bytes": len(OWN), "sha256": sha256(OWN.encode()).hexdigest()},
    )
    assert verdict.before is None
    assert verdict.served_by == (Serving("lab", "lab/own-1", True),)
    card = (await served(database)).catalog.card("lab/own-1")
    assert card is not None
    assert card.context_window_tokens == 1234


async def test_a_card_over_ours_changes_only_what_it_states(database: Database) -> None:
    text = f"id: {OPUS}\nmax_output_tokens: 64000\nprices: {{input: 7}}\n"

    verdict = await save(database, OPUS, text)

    assert verdict.before is NOW.catalog.card(OPUS)
    assert verdict.changes == (Change("max_output_tokens", 128000, 64000), Change("prices.input", "5", "7"))
    before, after = (
        NOW.find("claude/claude-opus-4-8"),
        (await served(database)).find("claude/claude-opus-4-8"),
    )
    assert after.price is not None
    assert before.price is not None
    assert (before.price.input, after.price.input) == (5 * 10**9, 7 * 10**9)
    assert after.price.output == before.price.output


async def test_the_rest_of_the_cards_stay_the_same_objects(database: Database) -> None:
    await save(database, "lab/own-1", OWN)

    after = (await served(database)).catalog

    # What was compiled from them (forms, validators) is kept by identity. The local model's follows the
    # configuration, so it is made anew.
    others = [card for card in NOW.catalog.all() if card.vendor != "local"]
    assert all(after.card(card.id) is card for card in others)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: [", "line 2: not YAML"),
        (OWN + "aliases: [Claude-opus-4.8]", "line 6: `aliases[0]`: 'Claude-opus-4.8' is a name of the card"),
        (OWN.replace("lab/own-1", "claude-opus-4-8"), "line 1: `id`: 'claude-opus-4-8' is a name of"),
        (OWN.replace("own-1", "own-2"), "line 1: `id`: 'lab/own-2' is another card than 'lab/own-1'"),
        (OWN + "max_output_tokens: 5000", "line 6: `max_output_tokens`: 5000 is more than"),
        (OWN + "contxt: 5", "line 6: `contxt`: there is no such name"),
        ("id: lab/own-1", "Object missing required field `vendor`"),
    ],
)  # fmt: skip
async def test_what_is_no_card_is_refused_with_the_line(database: Database, text: str, said: str) -> None:
    with pytest.raises(CallError) as caught:
        await save(database, "lab/own-1", text)

    assert caught.value.kind.name == "invalid"
    told = [str(msgspec.convert(each, Fault)) for each in caught.value.details["faults"]]  # type: ignore[index,union-attr]  # a list of faults
    assert [each for each in told if said in each], told
    assert await manage.list_cards(database) == []


async def test_two_cards_written_here_cannot_share_a_name(database: Database) -> None:
    await save(database, "lab/own-1", OWN + "aliases: [mine]")
    other = OWN.replace("own-1", "own-2") + "aliases: [MINE]"

    with pytest.raises(CallError, match="names both"):
        await save(database, "lab/own-2", other)


async def test_a_dry_run_keeps_nothing(database: Database) -> None:
    verdict = await judge(database, OWN)

    assert verdict.card is not None
    assert await manage.list_cards(database) == []


async def test_who_saves_over_somebody_elses_change_is_told(database: Database) -> None:
    first = await save(database, "lab/own-1", OWN, seen_change=0)
    assert first.stored is not None
    await save(database, "lab/own-1", OWN + "description: mine", seen_change=first.stored.change)

    for stale in (0, first.stored.change):
        with pytest.raises(CallError, match="changed by somebody else") as caught:
            await save(database, "lab/own-1", OWN, seen_change=stale)
        assert caught.value.kind.name == "conflict"


async def test_of_two_that_save_at_once_under_one_name_one_is_refused(database: Database) -> None:
    texts = [OWN.replace("own-1", f"own-{n}") + "aliases: [mine]" for n in range(4)]

    done = await asyncio.gather(
        *(save(database, f"lab/own-{n}", text) for n, text in enumerate(texts)), return_exceptions=True
    )

    assert sum(isinstance(each, Verdict) for each in done) == 1
    assert len(await manage.list_cards(database)) == 1


async def test_calls_are_booked_while_a_card_is_judged(database: Database) -> None:
    """The one writer has no part in the judging; held up by it, this test would wait for itself."""
    judged, booked = threading.Event(), threading.Event()

    def slow(texts: Iterable[str]) -> Registry:
        judged.set()
        assert booked.wait(HEARD_S), "nothing could be written while a card was judged"
        return SUPPLY.registry(texts)

    saving = asyncio.create_task(manage.save_card(database, slow, NOW, "lab/own-1", OWN, US))
    await asyncio.to_thread(judged.wait, HEARD_S)
    await database.write(lambda connection: count_up(connection, MONEY))
    booked.set()

    assert (await saving).stored is not None


async def test_a_card_is_judged_again_if_another_is_kept_meanwhile(database: Database) -> None:
    judged, kept = threading.Event(), threading.Event()

    def slow(texts: Iterable[str]) -> Registry:
        judged.set()
        kept.wait(HEARD_S)
        return SUPPLY.registry(texts)

    second = OWN.replace("own-1", "own-2") + "aliases: [mine]"
    saving = asyncio.create_task(manage.save_card(database, slow, NOW, "lab/own-2", second, US))
    await asyncio.to_thread(judged.wait, HEARD_S)
    await save(database, "lab/own-1", OWN + "aliases: [mine]")
    kept.set()

    with pytest.raises(CallError, match="names both"):
        await saving


async def test_a_removed_card_leaves_what_was_there_before(database: Database) -> None:
    await save(database, OPUS, f"id: {OPUS}\nname: Other\n")

    await manage.remove_card(database, SUPPLY.registry, OPUS, US)

    assert (await served(database)).catalog.card(OPUS) is NOW.catalog.card(OPUS)
    with pytest.raises(CallError, match="no card"):
        await manage.remove_card(database, SUPPLY.registry, OPUS, US)


async def test_a_name_that_another_card_took_does_not_come_back(database: Database) -> None:
    await save(database, OPUS, f"id: {OPUS}\naliases: []\n")
    taken = OWN + "aliases: [claude-4.8-opus]"
    now = await served(database)
    await manage.save_card(database, SUPPLY.registry, now, "lab/own-1", taken, US)

    with pytest.raises(CallError, match="names both") as caught:
        await manage.remove_card(database, SUPPLY.registry, OPUS, US)
    assert caught.value.kind.name == "conflict"


async def test_who_would_serve_a_model_is_told(database: Database) -> None:
    claude = ROWS[1]
    small = ModelConfig("small", (TargetConfig("lab", "own-1"),))

    async def by(supply: Supply, text: str = OWN) -> tuple[Serving, ...]:
        return (await judge(database, text, supply)).served_by

    new_claude = "id: anthropic/claude-next\nfamily: claude\nname: Next\n"
    assert await by(supply_of(), new_claude) == (Serving("claude", "claude/claude-next", True),)
    assert await by(supply_of(small)) == (Serving("lab", "small", True),)
    assert await by(supply_of(), OWN.replace("lab/", "far/")) == (Serving("lab", "lab/own-1", False),)
    assert await by(supply_of(providers=[claude])) == ()


async def test_a_card_that_a_newer_version_makes_unusable_is_left_out_and_told(database: Database) -> None:
    told: list[str] = []
    texts = {
        "lab/own-1": OWN,
        "lab/bad": OWN.replace("own-1", "bad") + "aliases: [claude-opus-4-8]",
        "lab/own-2": OWN.replace("own-1", "own-2"),
    }

    registry = SUPPLY.usable(texts, lambda card_id, reason: told.append(f"{card_id}: {reason}"))

    assert [bool(registry.catalog.card(card_id)) for card_id in texts] == [True, False, True]
    assert len(told) == 1
    assert told[0].startswith("lab/bad: 'claude-opus-4-8' names both")


async def test_another_worker_hears_of_a_card_within_a_second(database: Database, database_url: str) -> None:
    heard: asyncio.Queue[list[str]] = asyncio.Queue()

    async def take(cards: Sequence[StoredCard]) -> None:
        heard.put_nowait([card.id for card in cards])

    if database.dialect == "sqlite":
        other = database  # one process has the file; its workers would share PostgreSQL
    else:
        other = await Database.open(database_url)
    async with CardWatch(other, take), asyncio.timeout(HEARD_S):
        await save(database, "lab/own-1", OWN)
        assert await heard.get() == ["lab/own-1"]
        await manage.remove_card(database, SUPPLY.registry, "lab/own-1", US)
        assert await heard.get() == []
    if other is not database:
        await other.close()


async def test_a_worker_that_starts_later_takes_the_cards_first(database: Database) -> None:
    await save(database, "lab/own-1", OWN)
    heard: list[str] = []

    async def take(cards: Sequence[StoredCard]) -> None:
        heard.extend(card.id for card in cards)

    async with CardWatch(database, take):
        assert heard == ["lab/own-1"]
