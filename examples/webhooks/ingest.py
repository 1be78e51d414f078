"""The way in: reads a file of webhooks and publishes each under GitHub's delivery id."""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from callboard import Callboard, Event

from .app import DELIVERY
from .contracts import BY_EVENT, OtherWebhook


class Webhook(msgspec.Struct, frozen=True):
    """One line of the file: what GitHub posted, and two of its headers."""

    event: str
    delivery: str
    payload: msgspec.Raw


def read_webhooks(path: Path) -> Iterator[Webhook]:
    """The webhooks of a `.jsonl.gz` file, in its order."""
    decode = msgspec.json.Decoder(Webhook).decode
    with gzip.open(path, "rb") as lines:
        for line in lines:
            yield decode(line)


def to_event(webhook: Webhook) -> Event:
    """The typed event of a webhook; raises `msgspec.ValidationError` where GitHub said something else."""
    event = msgspec.json.decode(webhook.payload, type=BY_EVENT.get(webhook.event, OtherWebhook))
    return msgspec.structs.replace(event, event=webhook.event) if isinstance(event, OtherWebhook) else event


def ingest(app: Callboard, webhooks: Iterable[Webhook]) -> int:
    """Publish webhooks; how many were duplicates. A delivery id is published once, however often it comes."""
    duplicates = 0
    for webhook in webhooks:
        receipt = app.publish(
            to_event(webhook),
            dedup_key=webhook.delivery,
            attributes={DELIVERY: webhook.delivery},
            required=True,
        )
        duplicates += sum(delivery.duplicate for delivery in receipt.deliveries)
    return duplicates
