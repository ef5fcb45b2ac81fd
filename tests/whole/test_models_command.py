"""`modelway models`: the cards that a configuration has, checked before anybody calls."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from modelway.catalog.cards import Catalog
from modelway.store import cards
from modelway.store.cards import StoredCard
from modelway.store.database import Database
from tests.fix_gateway import Gateway

OWN = "id: lab/own-1\nvendor: lab\nname: Own 1\nprotocol: chat\n"


def installation(tmp_path: Path, card: str) -> Gateway:
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "own.yaml").write_text(card)
    return Gateway(tmp_path, f"cards: {tmp_path / 'cards'}\ndata_dir: {tmp_path / 'data'}\n")


def test_all_cards_are_found_good_and_counted(tmp_path: Path) -> None:
    done = installation(tmp_path, OWN).run("models", "validate", "--config", "modelway.yaml")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"All {len(Catalog.shipped().all()) + 1} cards are good.\n"


def test_a_card_that_cannot_be_read_is_named_with_file_and_line(tmp_path: Path) -> None:
    done = installation(tmp_path, OWN + "name: Again\n").run(
        "models", "validate", "--config", "modelway.yaml"
    )

    assert done.returncode == 1
    assert "own.yaml" in done.stderr
    assert "line 5: `name`: given twice, first in line 3" in done.stderr


def test_a_card_whose_facts_contradict_each_other_is_refused_with_all_of_them(tmp_path: Path) -> None:
    wrong = OWN + "max_output_tokens: 9\ncontext_window_tokens: 5\n"
    wrong += "parameters: {chat: {temperature: {default: 3}}}\n"

    done = installation(tmp_path, wrong).run("models", "validate", "--config", "modelway.yaml")

    assert done.returncode == 1
    assert "lab/own-1: 9 is more than the context window of 5 holds" in done.stderr
    assert "lab/own-1: chat: the default of `temperature`, 3, breaks its own limits" in done.stderr


def test_one_card_is_shown_as_json_by_any_of_its_names(tmp_path: Path) -> None:
    gateway = installation(tmp_path, OWN)

    done = gateway.run("models", "show", "Claude-Opus-4.8", "--config", "modelway.yaml")
    unknown = gateway.run("models", "show", "claude-opus-4-99", "--config", "modelway.yaml")

    assert json.loads(done.stdout)["id"] == "anthropic/claude-opus-4-8"
    assert unknown.returncode == 1
    assert "the nearest are anthropic/claude-opus-4-" in unknown.stderr


def test_cards_written_on_the_pages_are_among_them(tmp_path: Path) -> None:
    """As are those that cannot be used any more, by name: a later version has taken what they were called."""
    gateway = installation(tmp_path, OWN)
    gateway.manage("migrate")
    written = OWN.replace("own-1", "written")
    asyncio.run(keep(gateway.database_url, "lab/written", written))

    shown = gateway.run("models", "show", "lab/written", "--config", "modelway.yaml")
    good = gateway.run("models", "validate", "--config", "modelway.yaml")
    asyncio.run(keep(gateway.database_url, "lab/written", written + "aliases: [own-1]\nvendor: lab\n"))
    bad = gateway.run("models", "validate", "--config", "modelway.yaml")

    assert json.loads(shown.stdout)["id"] == "lab/written"
    assert good.stdout == f"All {len(Catalog.shipped().all()) + 2} cards are good.\n"
    assert bad.returncode == 1
    assert "lab/written: line 6: `vendor`: given twice" in bad.stderr


def test_a_database_that_cannot_be_read_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    gateway = installation(tmp_path, OWN)
    gateway.database.parent.mkdir(parents=True, exist_ok=True)
    gateway.database.touch()

    done = gateway.run("models", "validate", "--config", "modelway.yaml")

    assert done.returncode == 0
    assert "without the cards written on the pages: " in done.stderr
    assert done.stdout == f"All {len(Catalog.shipped().all()) + 1} cards are good.\n"


async def keep(database_url: str, card_id: str, text: str) -> None:
    database = await Database.open(database_url)
    try:
        await database.write(lambda connection: cards.put(connection, StoredCard(card_id, text, 0, None, 1)))
    finally:
        await database.close()
