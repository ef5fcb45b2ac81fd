"""Puts the gateway together: the only file that knows every package. One worker is one `Gateway`."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import uvloop
from msgspec import structs

from modelway.accounts.ids import Mint
from modelway.accounts.keys import may_reach
from modelway.accounts.rates import RateLimits
from modelway.api import discovery, managed, management, models, openapi, stored
from modelway.api.edge import BodyLimits
from modelway.api.inference import Inference, Serve
from modelway.api.routes import Route, Router
from modelway.api.validate import TAKERS_BODY_BYTES_MAX, Look, Looking, look_for_takers, look_over
from modelway.calls.alerts import AlertSender
from modelway.calls.call import Services, Timeouts
from modelway.calls.counting import serve_message_count, serve_response_count
from modelway.calls.drain import drain
from modelway.calls.embed import serve_embeddings
from modelway.calls.once import once
from modelway.calls.predict import serve_predict
from modelway.calls.responses import serve_response
from modelway.calls.serve import serve
from modelway.calls.shares import Shares
from modelway.config import Config, valkey_of
from modelway.engine.process import Engine
from modelway.engine.settings import EngineSettings, default_threads
from modelway.engine.weights import find_or_fetch
from modelway.limits.limiter import Limiter
from modelway.limits.memory import MemoryCounter
from modelway.limits.shared import SharedCounter
from modelway.observe import Log, Metrics, forwarded
from modelway.protocols.anthropic_messages import MESSAGES
from modelway.protocols.openai_chat import CHAT
from modelway.protocols.openai_responses import RESPONSES
from modelway.providers.upstream import UpstreamClient
from modelway.server.listener import Listener
from modelway.store.cards import CardWatch, StoredCard
from modelway.store.database import Database
from modelway.store.keyring import KeyRing
from modelway.store.responses import Sweeper
from modelway.store.usage import UsageLog
from modelway.supply import LOCAL_MODEL, Supply, price_of
from modelway.web.entry import METHODS, PATHS, Pages

# Above the calls it carries, so that /readyz and refusals are still answered.
CONNECTIONS_SPARE = 512
# One Ctrl-C may come twice, from the terminal and from the process that started us: a second one counts
# as a person's when it comes later than this.
SAME_SIGNAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Installation:
    """What is settled before the first worker starts."""

    config: Config
    data_dir: Path
    database_url: str
    secret: bytes
    metrics_file: Path | None = None  # where it shows its numbers to the workers beside it, if there are any


def database_url(config: Config, data_dir: Path) -> str:
    if config.database == "sqlite":
        return f"sqlite:///{data_dir / 'modelway.db'}"
    if config.database.startswith("postgres://"):
        return "postgresql" + config.database.removeprefix("postgres")
    return config.database


def engine_of(config: Config, data_dir: Path, log: Log) -> Engine | None:
    """The local model's supervisor, not yet started; None when it is switched off."""
    knobs = config.engine
    if knobs.start == "never":
        return None
    alone = not config.providers
    own = Path(knobs.model_path).expanduser() if knobs.model_path else None
    return Engine(
        EngineSettings(
            model_path=lambda: find_or_fetch(data_dir, own, weights_url=knobs.weights_url),
            data_dir=data_dir,
            model_alias=LOCAL_MODEL,
            threads=knobs.threads or default_threads(),
            context_tokens=knobs.context_tokens,
            slots=knobs.slots,
            start="at_start"
            if knobs.start == "at_start" or (knobs.start == "auto" and alone)
            else "first_use",
            log=lambda line: log.write("info", "engine", line=line),
        )
    )


class Gateway:
    """One worker: the ASGI application and everything it holds open."""

    def __init__(self, installation: Installation, services: Services, database: Database) -> None:
        self.config, self.services, self.database = installation.config, services, database
        self._secret = installation.secret
        self._idle = asyncio.Event()
        services.told_idle = self._tell_idle
        self.application = Router(self._routes(), services.mint)

    def _routes(self) -> list[Route]:
        services = self.services
        open_paths = {
            "/livez": discovery.livez(services),
            "/readyz": discovery.readyz(services),
            "/metrics": discovery.metrics(services),
        }
        guarded_paths = {
            "/v1/models": models.model_list(services),
            "/v1/models/": models.one_model(services, "/v1/models/"),
        }
        routes = [
            Route("POST", path, self._inference(name, answer))
            for path, name, answer in (
                ("/v1/chat/completions", "chat", serve),
                ("/v1/messages", "messages", serve),
                ("/v1/messages/count_tokens", "messages", serve_message_count),
                ("/v1/responses", "responses", serve_response),
                ("/v1/responses/input_tokens", "responses", serve_response_count),
                ("/v1/embeddings", "chat", serve_embeddings),
                ("/v1/predict", "chat", serve_predict),
            )
        ]
        routes += [
            Route(method, stored.PREFIX, stored.StoredResponses(services))
            for method in ("GET", "POST", "DELETE")
        ]
        routes.append(Route("GET", "/v1/responses", stored.NoWebSocket(services)))
        for paths, guarded in ((open_paths, False), (guarded_paths, True)):
            routes += [
                Route("GET", path, discovery.Discovery(answer, services, guarded=guarded))
                for path, answer in paths.items()
            ]
        routes.append(Route("POST", "/v1/models", self._looking(look_for_takers, TAKERS_BODY_BYTES_MAX)))
        routes.append(Route("POST", "/v1/validate", self._looking(look_over)))
        routes += management.routes(managed.ROWS, services, self._secret, self._body_limits)
        return routes + self._descriptions(routes)

    def _descriptions(self, routes: list[Route]) -> list[Route]:
        """What the API is, for machines and, unless they are switched off, for people."""
        services, are_public = self.services, self.config.pages == "public"
        listed = frozenset((route.method, route.path) for route in routes) | {("GET", "/openapi.json")}
        description = openapi.openapi(services, listed)
        machines = Route(
            "GET",
            "/openapi.json",
            discovery.Discovery(description, services, guarded=not are_public, check=may_reach),
        )
        if not are_public:
            return [machines]
        pages = Pages(services, lambda: openapi.of_installation(services, listed))
        return [machines, *(Route(method, path, pages) for path in PATHS for method in METHODS)]

    def _looking(self, look: Look, bytes_max: int | None = None) -> Looking:
        return Looking(look, self.services, self._body_limits(bytes_max))

    def _inference(self, name: str, serve: Serve) -> Inference:
        protocol = next(p for p in self.services.protocols.values() if p.name == name)
        return Inference(
            protocol,
            self.services,
            self._body_limits(),
            once(serve),
            is_free=serve in (serve_message_count, serve_response_count),
        )

    def _body_limits(self, bytes_max: int | None = None) -> BodyLimits:
        timeouts, most = self.config.timeouts, self.config.body_bytes_max
        return BodyLimits(min(bytes_max or most, most), timeouts.body_idle_s, timeouts.body_total_s)

    def _tell_idle(self) -> None:
        if not self.services.live:
            self._idle.set()

    async def drain(self, hurry: asyncio.Event) -> None:
        """Refuse new calls and end those that live, within the time there is; `hurry` ends the waiting."""
        await drain(self.services, self._idle, self.config.timeouts.drain_s, hurry)


@asynccontextmanager
async def opened(installation: Installation, environ: Mapping[str, str]) -> AsyncIterator[Gateway]:
    """A worker with its database, engine, connections and key ring open; all closed again at the end."""
    config = installation.config
    log = Log(config.log_level, time.time)
    async with AsyncExitStack() as stack:
        stack.callback(log.close)
        stack.enter_context(forwarded(log))
        database = await Database.open(installation.database_url, serving=True)
        stack.push_async_callback(database.close)
        await stack.enter_async_context(Sweeper(database, lambda: time.time_ns() // 1_000_000))
        usage_log = UsageLog(database, sent_folder=installation.data_dir / "sent")
        usage_log.fallback_price = price_of(config.unknown_price) if config.unknown_price else None
        stack.push_async_callback(usage_log.close)
        keys = await stack.enter_async_context(KeyRing(database, installation.secret))
        upstreams = await stack.enter_async_context(
            UpstreamClient(
                connect_timeout_s=config.timeouts.connect_s, silence_timeout_s=config.timeouts.first_content_s
            )
        )
        if config.alert_url is not None:
            sender = AlertSender(database, upstreams, config.alert_url, installation.secret, time.time)
            await stack.enter_async_context(sender)
        engine = engine_of(config, installation.data_dir, log)
        if engine is not None:
            stack.push_async_callback(engine.stop)
            await engine.start()
        supply = Supply(config, environ)
        services = Services(
            registry=supply.registry(),
            offer=supply.registry,
            keys=keys,
            upstreams=upstreams,
            database=database,
            usage_log=usage_log,
            limits=await _limits(config, environ, database, usage_log, stack),
            metrics=Metrics(installation.metrics_file),
            log=log,
            protocols={"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES},
            engine=engine,
            mint=Mint(lambda: time.time_ns() // 1_000_000, os.urandom),
            clock=time.monotonic,
            now=time.time,
            choose=random.random,
            envelope_secret=installation.secret,
            timeouts=Timeouts(
                config.timeouts.first_content_s,
                config.timeouts.idle_s,
                config.timeouts.total_s,
                config.timeouts.heartbeat_s,
                config.timeouts.write_stall_s,
            ),
            concurrency_max=config.concurrency_max,
            trusted_proxies=tuple(ip_network(each, strict=False) for each in config.trusted_proxies),
        )
        cards = await stack.enter_async_context(CardWatch(database, _taking(services, supply)))
        services.hear_of_cards = cards.refresh
        if installation.metrics_file is not None:
            await stack.enter_async_context(discovery.publishing(services))
        yield Gateway(installation, services, database)


def _taking(services: Services, supply: Supply) -> Callable[[Sequence[StoredCard]], Awaitable[None]]:
    """How a worker takes the cards as they are now: the whole registry, replaced in one step."""

    def complain(card_id: str, reason: str) -> None:
        services.log.write("error", "card_not_usable", card=card_id, error=reason)

    async def take(cards: Sequence[StoredCard]) -> None:
        texts = {card.id: card.text for card in cards}
        # In a thread: some hundred cards are tens of milliseconds, and live streams go on meanwhile.
        services.registry = await asyncio.to_thread(supply.usable, texts, complain)

    return take


async def _limits(
    config: Config,
    environ: Mapping[str, str],
    database: Database,
    ledger: UsageLog,
    stack: AsyncExitStack,
) -> Limiter:
    """The counter of rate limits: this process's own, or Valkey's."""

    def now_ms() -> int:
        return time.monotonic_ns() // 1_000_000

    shares = await stack.enter_async_context(Shares(database, ledger.worker_id, config.workers))
    address, shared = valkey_of(config, environ), None
    if address is not None:
        shared = await stack.enter_async_context(SharedCounter(address, now_ms, shares.share))
    defaults = RateLimits(**structs.asdict(config.limits))
    return Limiter(defaults, MemoryCounter(now_ms, shares.share), shared)


async def _serve(installation: Installation, environ: Mapping[str, str], ready: Callable[[], None]) -> None:
    config = installation.config
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def told_to_stop() -> None:
        if not stop.is_set():
            stop.set()
            loop.call_later(SAME_SIGNAL_S, count_again)

    def count_again() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, hurry.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop)
    async with opened(installation, environ) as gateway:
        router = gateway.application
        listener = Listener(router, router.refuse, config.concurrency_max + CONNECTIONS_SPARE)
        async with listener.opened(config.host, config.port):
            _settle_garbage_collector()
            ready()
            await stop.wait()
            listener.drain()
            await gateway.drain(hurry)


def _settle_garbage_collector() -> None:
    """What is loaded now stays: it need not be looked through again. Calls free what they made by
    reference counts, so the collector may look less often than every 700 objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def run_worker(installation: Installation, environ: Mapping[str, str], ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `ready` is called when the port is open."""
    uvloop.run(_serve(installation, environ, ready))
