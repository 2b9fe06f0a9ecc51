"""Inputs through their doors: requests over HTTP, records as a foreign client writes them who may write anywhere."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from confluent_kafka import Producer

from benchmarks.fuzz.inputs import Input
from mmplatform.events import Position
from mmplatform.kafka.connection import client_config
from mmplatform.settings import Settings

AT_ONCE: Final = 16
_ROUTE: Final = re.compile(r"/v1/calls/[^/]+/")
_ACCEPTED, _SLOWED = 202, 429
_WAITING: Final = 10_000
"""Records of the foreign client that may wait for their acknowledgement."""


@dataclass(slots=True)
class Sent:
    """The answers to the inputs.

    Attributes:
        sent: inputs by route.
        refused: answers by route and status, of those that were refused.
        duplicates: requests that the gateway knew already, by route.
        inputs: each input on the log, by its position.
        odd: answers that no source should ever get, by route and status.
        quoted: answers that repeat a secret, by route and status.
    """

    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, int]] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    inputs: dict[Position, Input] = field(default_factory=dict)
    odd: Counter[tuple[str, int]] = field(default_factory=Counter)
    quoted: Counter[tuple[str, int]] = field(default_factory=Counter)

    def add(self, more: Sent) -> None:
        """Take another round in."""
        self.sent.update(more.sent)
        self.duplicates.update(more.duplicates)
        self.refused.update(more.refused)
        self.odd.update(more.odd)
        self.inputs.update(more.inputs)
        self.quoted.update(more.quoted)


def route_of(item: Input) -> str:
    """Calls have their id in the path: all of them are one route."""
    return _ROUTE.sub("/v1/calls/{id}/", item.route)


def send(inputs: Iterable[Input], gateway: str, settings: Settings, secrets: Iterable[str] = ()) -> Sent:
    """Send all of them. An answer that repeats one of the secrets is counted in ``quoted``."""
    done = Sent()
    requests: list[Input] = []
    foreign = Producer(client_config(settings) | {"partitioner": "murmur2_random", "linger.ms": 5})
    for item in inputs:
        done.sent[route_of(item)] += 1
        if item.topic:
            _write(foreign, item, done)
        else:
            requests.append(item)
    if foreign.flush(60):
        raise SystemExit("the broker did not acknowledge what was written")
    asyncio.run(_post_all(requests, gateway, done, tuple(secrets)))
    return done


def _write(foreign: Any, item: Input, done: Sent) -> None:
    def on_delivery(error: Any, message: Any) -> None:
        if error is not None:
            raise SystemExit(f"the broker refused a record: {error}")
        where = Position(topic=item.topic, topic_partition=message.partition(), offset=message.offset())
        done.inputs[where] = item

    while len(foreign) > _WAITING:
        foreign.poll(0.1)
    foreign.produce(
        item.topic,
        value=item.body,
        key=item.key,
        timestamp=item.millis or 0,
        headers=dict(item.headers),
        on_delivery=on_delivery,
    )
    foreign.poll(0)


async def _post_all(requests: list[Input], gateway: str, done: Sent, secrets: tuple[str, ...]) -> None:
    waiting = iter(requests)

    async def post_some(http: httpx.AsyncClient) -> None:
        for item in waiting:
            await _post(http, item, done, secrets)

    # A connection that is quiet is let go before the gateway does it (5 s): it could do so under a request.
    limits = httpx.Limits(keepalive_expiry=2.0)
    async with httpx.AsyncClient(base_url=gateway, timeout=60, trust_env=False, limits=limits) as http:
        await asyncio.gather(*(post_some(http) for _ in range(AT_ONCE)))


async def _post(http: httpx.AsyncClient, item: Input, done: Sent, secrets: tuple[str, ...]) -> None:
    route = route_of(item)
    while True:
        headers = {"Content-Type": item.media_type}
        answer = await http.post(item.route, content=item.body, params=item.params, headers=headers)
        if answer.status_code != _SLOWED:
            break
        await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
    if any(secret in answer.text for secret in secrets):
        done.quoted[route, answer.status_code] += 1
    if answer.status_code == _ACCEPTED:
        body = answer.json()
        for answer_item in body if isinstance(body, list) else [body]:
            if answer_item["duplicate"]:
                done.duplicates[route] += 1
            else:
                done.inputs[Position.model_validate(answer_item["position"])] = item
    elif answer.is_client_error and answer.headers["content-type"] == "application/problem+json":
        done.refused[route, answer.status_code] += 1
    else:
        done.odd[route, answer.status_code] += 1
