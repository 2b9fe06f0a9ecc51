"""Chats of other customers about other things, so that retrieval has something to tell the case apart from.

Synthetic: templates filled by faker with a fixed seed. Four of the topics lie close to the case on purpose (an
expired card, a declined card, a double charge, a bank transfer that has not arrived).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from faker import Faker

from examples.make.other_topics import TOPICS

SEED = 4711
SHOPPERS = 20
LONGEST_AGO_S = 2 * 24 * 3600
GOODS = ("rain jacket", "hiking boots", "day pack", "sleeping bag", "trail shoes", "headlamp", "camp stove", "fleece")
COLOURS = ("moss", "slate", "ember", "navy", "sand")


@dataclass(frozen=True, slots=True)
class Shopper:
    """One invented customer, and the words that the templates may use."""

    subject_id: str
    words: dict[str, str]


def other_chats() -> Iterator[dict[str, Any]]:
    """One record per message, six for each customer; within a conversation in order of time."""
    random = Random(SEED)
    fake = Faker("en_US")
    fake.seed_instance(SEED)
    for number in range(SHOPPERS):
        shopper = _shopper(number, fake, random)
        topic, script = list(TOPICS.items())[number % len(TOPICS)]
        offset = -random.randrange(900, LONGEST_AGO_S if number % 3 else 2 * 3600)
        for place, (role, choices) in enumerate(script, start=1):
            yield {
                "event_id": f"chat-{shopper.subject_id[5:]}-{place:02d}",
                "conversation_id": f"conv-{shopper.subject_id[5:]}-chat",
                "subject_id": shopper.subject_id,
                "offset_s": offset,
                "role": role,
                "text": random.choice(choices).format(**shopper.words),
                "topic": topic,
                "synthetic": True,
            }
            offset += random.randrange(3, 9) if role == "customer" else random.randrange(20, 90)


def _shopper(number: int, fake: Faker, random: Random) -> Shopper:
    amount = random.randrange(1900, 24000)
    first, last = fake.first_name(), fake.last_name()
    words = {
        "first": first,
        "email": f"{first}.{last}@example.{random.choice(('com', 'net', 'org'))}".lower(),
        "phone": f"({random.choice(('212', '303', '503', '617'))}) 555-01{random.randrange(100):02d}",
        "order": f"LF-{random.randrange(400000, 480000)}",
        "amount": f"${amount / 100:.2f}",
        "street": fake.street_address(),
        "goods": random.choice(GOODS),
        "colour": random.choice(COLOURS),
        "days": str(random.randrange(3, 11)),
        "size": random.choice(("S", "M", "L", "XL")),
    }
    return Shopper(f"cust-{4800 + number * 7}", words)
