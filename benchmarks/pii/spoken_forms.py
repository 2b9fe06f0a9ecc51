"""Sentences as people say them: numbers digit by digit or in pairs, e-mail addresses with "at" and "dot"."""

from __future__ import annotations

from random import Random
from typing import Final

from faker import Faker

from benchmarks.pii import numbers

DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS: Final = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS: Final = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBER_WORDS: Final = frozenset({*DIGITS, *_TEENS, *_TENS, "oh", "hundred", "double", "triple"} - {""})

SENTENCES: Final[tuple[tuple[str, ...], ...]] = (
    (
        *("my card number is {card}", "please charge the card {card}", "the long number on the front is {card}"),
        *("okay, so it is a visa, {card}", "I will read it to you, {card}, that is all of it"),
    ),
    (
        *("you can write to me, my email is {email}", "send it to this email address, {email}"),
        *("I signed up with {email}", "the account is under {email}, I believe"),
    ),
    (
        *("please call me back, my number is {phone}", "the best phone number for me is {phone}"),
        *("you can reach me on {phone} after six", "my mobile is {phone}"),
    ),
    (
        *("for verification, my social security number is {ssn}", "the security code on the back is {cvv}"),
        *("hello, this is {person} calling", "good morning, my name is {person}"),
        *("my date of birth is {birth_date}", "the verification code that I received is {one_time_code}"),
        *("please ship it to my address, {address}", "my bank account number is {bank_account}"),
        *("the pin of my card is {pin}", "my passport number is {passport}"),
    ),
)
"""Sentences in groups that come in turn: a card, an e-mail address, a telephone number, anything else."""
HARMLESS: Final = (
    "my order has not arrived and nobody answers my mails",
    "the payment failed twice and I see an error on the page",
    "I forgot my password and would like to reset it",
    "can you tell me when the refund is on my account",
    "the app crashes when I open the basket",
    "I waited for two weeks and would like to cancel",
    "it cost one hundred and eighty six dollars and forty cents",
    "my order number is four eight two one nine three",
    "the black jacket in size medium is too small for me",
    "it stopped working after the last update on Monday",
)
_GAP: Final = (", ", ", ", " ")


def spoken_value(slot: str, random: Random) -> str:
    """Say a random value of a slot."""
    fake = Faker("en_US")
    fake.seed_instance(random.getrandbits(32))
    builders = {
        "card": lambda: random.choice(_GAP).join(_to_words(group, random) for group in numbers.card_groups(random)),
        "email": lambda: _email(fake),
        "phone": lambda: ", ".join(_to_words(part, random) for part in _phone(random)),
        "ssn": lambda: ", ".join(_to_words(part, random) for part in numbers.social_security_number(random).split("-")),
        "cvv": lambda: _to_words(numbers.digits(random, 3), random),
        "pin": lambda: _to_words(numbers.digits(random, 4), random),
        "one_time_code": lambda: _to_words(numbers.digits(random, 6), random),
        "bank_account": lambda: _to_words(numbers.digits(random, 8), random),
        "passport": lambda: _to_words(numbers.digits(random, 9), random),
        "person": lambda: f"{fake.first_name()} {fake.last_name()}",
        "birth_date": lambda: _date(fake),
        "address": lambda: f"{_to_words(numbers.digits(random, 3), random)} {fake.last_name()} {fake.street_suffix()}",
    }
    return builders[slot]()


def _to_words(digits: str, random: Random) -> str:
    """Say digits one by one, now and then in pairs."""
    if len(digits) % 2 == 0 and "0" not in digits[::2] and random.random() < 0.2:
        return " ".join(_pair(int(digits[start : start + 2])) for start in range(0, len(digits), 2))
    return " ".join("oh" if digit == "0" and random.random() < 0.4 else DIGITS[int(digit)] for digit in digits)


def _pair(number: int) -> str:
    if number < 20:
        return _TEENS[number - 10]
    return f"{_TENS[number // 10]} {DIGITS[number % 10]}" if number % 10 else _TENS[number // 10]


def _phone(random: Random) -> list[str]:
    return [str(random.randint(201, 989)), str(random.randint(201, 989)), f"{random.randint(0, 9999):04}"]


def _email(fake: Faker) -> str:
    first, last = fake.first_name().lower(), fake.last_name().lower()
    domain = fake.free_email_domain().replace(".", " dot ")
    return f"{first} dot {last} at {domain}"


def _date(fake: Faker) -> str:
    born = fake.date_of_birth(minimum_age=20, maximum_age=80)
    late = "two thousand" + (f" and {DIGITS[born.year - 2000]}" if 2000 < born.year < 2010 else "")
    year = f"nineteen {_pair(born.year - 1900)}" if born.year < 2000 else late
    return f"{born:%B} {_pair(born.day) if born.day > 9 else DIGITS[born.day]}, {year}"
