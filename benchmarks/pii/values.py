"""Random personal values, by entity and language, as lists of pieces."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from functools import cached_property
from random import Random
from typing import Final

import phonenumbers
from faker import Faker

from benchmarks.pii import numbers, secret_values
from benchmarks.pii.locales import LOCALES, REGIONS
from benchmarks.pii.samples import EITHER, Piece

_UNSPACED: Final = frozenset({"zh", "ja", "ko"})
"""Languages that write no space between the parts of a name."""

_MAX_ATTEMPTS: Final = 60
_EMAIL_FORMS: Final = (
    *("{user} at {domain_words}", "{user} (at) {domain_words}", "{user}[at]{domain}", "{user} @ {domain}"),
    *(
        "{user}&#64;{domain}",
        "{user}%40{domain}",
        '"{quoted}"@{domain}',
        "mailto:{user}@{domain}",
        "{user}\uff20{domain}",
    ),
    *("{user} AT {dotted}", "{user}@\u200b{domain}", "{user} {{at}} {domain}"),
)


class Values:
    """Source of random values in one language.

    Args:
        random: of every choice.
        language: of names, addresses and telephone numbers.
        odd: separators that no rule foresees, e-mail addresses in disguise.
        misread: digits that a recogniser of pictures read as letters.
    """

    def __init__(self, random: Random, language: str, *, odd: bool = False, misread: bool = False) -> None:
        self._random, self._language, self._odd, self._misread = random, language, odd, misread
        self._locale = random.choice(LOCALES[language])
        self._group = 0

    def make(self, slot: str) -> list[Piece]:
        """Make a random value of a slot, which is the name of an entity in lower case or a special form of one."""
        self._group += 1
        build: Callable[[], list[Piece]] = getattr(self, f"_{slot}")
        return build()

    @cached_property
    def _fake(self) -> Faker:
        fake = Faker(self._locale)
        fake.seed_instance(self._random.getrandbits(32))
        return fake

    def _plain(self, entity: str, text: str, *, verbatim: bool = False) -> list[Piece]:
        return [Piece(text, entity, self._group, verbatim=verbatim)]

    def _grouped(self, entity: str, groups: Sequence[str]) -> list[Piece]:
        gap = self._random.choice(numbers.ODD_GAPS if self._odd else numbers.ORDINARY_GAPS)
        pieces: list[Piece] = []
        for group in groups:
            if pieces:
                pieces.append(Piece(gap, entity, self._group, filler=True, verbatim=True))
            shown = numbers.misread_digits(self._random, group) if self._misread else group
            pieces.append(Piece(shown, entity, self._group, verbatim=self._misread))
        return pieces

    def _card(self) -> list[Piece]:
        return self._grouped("CARD", numbers.card_groups(self._random))

    def _cvv(self) -> list[Piece]:
        return self._plain("CVV", f"{self._random.randint(0, 999):03}")

    def _card_expiry(self) -> list[Piece]:
        month, year = self._random.randint(1, 12), self._random.randint(2026, 2034)
        form = self._random.choice(
            ("{m:02}/{y}", "{m:02}/{y}", "{m:02}/{full}", "{m}/{y}", "{m:02}-{y}", "{m:02} / {y}")
        )
        return self._plain("CARD_EXPIRY", form.format(m=month, y=year % 100, full=year))

    def _pin(self) -> list[Piece]:
        return self._plain("PIN", f"{self._random.randint(0, 9999):04}")

    def _secret(self) -> list[Piece]:
        return self._plain("SECRET", secret_values.secret(self._random), verbatim=True)

    def _bearer(self) -> list[Piece]:
        return self._plain("SECRET", secret_values.token(self._random, 40), verbatim=True)

    def _pem(self) -> list[Piece]:
        return self._plain("SECRET", secret_values.private_key(self._random), verbatim=True)

    def _password(self) -> list[Piece]:
        return self._plain("PASSWORD", secret_values.password(self._random), verbatim=True)

    def _one_time_code(self) -> list[Piece]:
        code = numbers.digits(self._random, self._random.choice((4, 6, 6, 6, 8)))
        middle = len(code) // 2
        return self._plain("ONE_TIME_CODE", self._random.choice((code, code, f"{code[:middle]}-{code[middle:]}")))

    def _crypto_wallet(self) -> list[Piece]:
        return self._plain("CRYPTO_WALLET", secret_values.wallet(self._random), verbatim=True)

    def _iban(self) -> list[Piece]:
        locale = self._locale if self._locale in {"de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL"} else "en_GB"
        fake = Faker(locale)
        fake.seed_instance(self._random.getrandbits(32))
        iban = fake.iban()
        gaps = (".", "_", "/", "\n", "-", "\u00a0", "  ", "&nbsp;") if self._odd else (" ", " ", "", "")
        gap = self._random.choice(gaps)
        pieces: list[Piece] = []
        for start in range(0, len(iban), 4):
            if pieces:
                pieces.append(Piece(gap, "IBAN", self._group, filler=True, verbatim=True))
            pieces.append(Piece(iban[start : start + 4], "IBAN", self._group))
        return pieces

    def _bank_account(self) -> list[Piece]:
        return self._plain("BANK_ACCOUNT", numbers.digits(self._random, self._random.choice((8, 8, 9, 10, 12))))

    def _routing(self) -> list[Piece]:
        return self._plain("BANK_ACCOUNT", numbers.routing_number(self._random))

    def _sort_code(self) -> list[Piece]:
        pairs = numbers.cut(numbers.digits(self._random, 6), (2, 2, 2))
        return self._plain("BANK_ACCOUNT", self._random.choice(("-", "-", " ")).join(pairs))

    def _ssn(self) -> list[Piece]:
        number = numbers.social_security_number(self._random)
        if self._odd:
            return self._grouped("SSN", number.split("-"))
        return self._plain("SSN", self._random.choice((number, number, number.replace("-", " "))))

    def _national_id(self) -> list[Piece]:
        if self._language == "en":
            letters = "ABCEGHJKLMNPRSTWXYZ"
            first, second = self._random.choice(letters), self._random.choice(letters.replace("N", "").replace("D", ""))
            pairs = " ".join(numbers.cut(numbers.digits(self._random, 6), (2, 2, 2)))
            written = f"{first}{second} {pairs} {self._random.choice('ABCD')}"
            return self._plain("NATIONAL_ID", self._random.choice((written, written.replace(" ", ""))))
        if self._language == "es":
            number = self._random.randint(10**7, 10**8 - 1)
            return self._plain("NATIONAL_ID", f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}")
        return self._plain("NATIONAL_ID", str(self._fake.cpf() if self._language == "pt" else self._fake.ssn()))

    def _tax_id(self) -> list[Piece]:
        if self._language == "de":
            return self._plain("TAX_ID", " ".join(numbers.cut(numbers.digits(self._random, 11), (2, 3, 3, 3))))
        taxpayer = (
            f"9{numbers.digits(self._random, 2)}-{self._random.randint(70, 88)}-{self._random.randint(1000, 9999)}"
        )
        employer = f"{self._random.randint(10, 95)}-{numbers.digits(self._random, 7)}"
        return self._plain("TAX_ID", self._random.choice((taxpayer, employer)))

    def _passport(self) -> list[Piece]:
        letter = self._random.choice(string.ascii_uppercase)
        forms = (
            numbers.digits(self._random, 9),
            letter + numbers.digits(self._random, 8),
            f"C{numbers.digits(self._random, 2)}X{numbers.digits(self._random, 2)}T{numbers.digits(self._random, 2)}",
            f"{letter}{self._random.choice(string.ascii_uppercase)}{numbers.digits(self._random, 7)}",
        )
        return self._plain("PASSPORT", self._random.choice(forms))

    def _driving_licence(self) -> list[Piece]:
        letter = self._random.choice(string.ascii_uppercase)
        surname = (self._fake.last_name().upper() + "9999")[:5] if self._language == "en" else "MUSTE"
        forms = (
            letter + numbers.digits(self._random, 7),
            "-".join((letter + numbers.digits(self._random, 3), *(numbers.digits(self._random, 4) for _ in range(2)))),
            f"{surname}{numbers.digits(self._random, 6)}{letter}{self._random.randint(10, 99)}{letter}X",
        )
        return self._plain("DRIVING_LICENCE", self._random.choice(forms))

    def _birth_date(self) -> list[Piece]:
        born = self._fake.date_of_birth(minimum_age=18, maximum_age=90)
        english = (f"{born:%B} {born.day}, {born.year}", f"{born.day} {born:%B} {born.year}", f"{born:%m/%d/%Y}")
        local = (f"{born:%d.%m.%Y}", f"{born:%d/%m/%Y}") if self._language != "en" else english
        return self._plain("BIRTH_DATE", self._random.choice((*local, f"{born:%Y-%m-%d}", *local)))

    def _email(self) -> list[Piece]:
        fake = Faker(self._locale if self._locale in {"en_US", "en_GB", "de_DE", "fr_FR", "es_ES"} else "en_US")
        fake.seed_instance(self._random.getrandbits(32))
        user, domain = fake.user_name(), fake.domain_name()
        user = self._random.choice(
            (user, fake.ascii_email().partition("@")[0], f"{user}+shop", f"{user[:1]}.{user[1:]}")
        )
        if not self._odd:
            return self._plain("EMAIL", f"{user}@{domain}")
        form = self._random.choice(_EMAIL_FORMS)
        before, _, after = form.partition("{user}") if "{user}" in form else ("", "", form)
        spelled = after.format(
            user=user,
            quoted=f"{user[:3]} {user[3:]}",
            domain=domain,
            domain_words=domain.replace(".", " dot "),
            dotted=domain.replace(".", " DOT "),
        )
        return [Piece(before, verbatim=True), *self._plain("EMAIL", (user if "{user}" in form else "") + spelled)]

    def _phone(self) -> list[Piece]:
        number = self._telephone()
        styles = phonenumbers.PhoneNumberFormat
        style = self._random.choice((styles.NATIONAL, styles.NATIONAL, styles.INTERNATIONAL, styles.E164))
        written = phonenumbers.format_number(number, style)
        if self._odd:
            gap = self._random.choice((".", "  ", "/", "\u00a0", "\u2011", " - ", "_", "&nbsp;", "\u2009", "\n", "·"))
            written = gap.join(part for part in written.replace("-", " ").split())
        if self._misread:
            written = numbers.misread_digits(self._random, written)
        return self._plain("PHONE", written, verbatim=self._misread)

    def _telephone(self) -> phonenumbers.PhoneNumber:
        region = REGIONS[self._locale]
        kinds = phonenumbers.PhoneNumberType
        kind = self._random.choice((kinds.MOBILE, kinds.MOBILE, kinds.FIXED_LINE))
        example = phonenumbers.example_number_for_type(region, kind)
        assert example is not None, f"phonenumbers has no example of region {region}"
        national = str(example.national_number)
        for attempt in range(_MAX_ATTEMPTS):
            fixed = 2 + attempt * len(national) // _MAX_ATTEMPTS  # near the end all but the last digits stay
            changed = national[:fixed] + "".join(str(self._random.randint(0, 9)) for _ in national[fixed:])
            number = phonenumbers.PhoneNumber(
                country_code=example.country_code,
                national_number=int(changed),
                italian_leading_zero=example.italian_leading_zero,
            )
            if phonenumbers.is_valid_number(number):
                return number
        return example

    def _ip(self) -> list[Piece]:
        choose = numbers.public_ipv6 if self._random.random() < 0.25 else numbers.public_ipv4
        return self._plain("IP", choose(self._random))

    def _handle(self) -> list[Piece]:
        return self._plain(
            "HANDLE", self._fake_english().user_name() + self._random.choice(("", "_", "42", ".x", "99"))
        )

    def _handle_user(self) -> list[Piece]:
        return [Piece(self._fake_english().user_name(), EITHER, -self._group)]

    def _at_handle(self) -> list[Piece]:
        return self._plain("HANDLE", f"@{self._fake_english().user_name()}")

    def _fake_english(self) -> Faker:
        fake = Faker("en_US")
        fake.seed_instance(self._random.getrandbits(32))
        return fake

    def _address(self) -> list[Piece]:
        street = self._fake.street_address().replace("\n", ", ")
        pieces = [Piece(street, "ADDRESS", self._group)]
        if self._random.random() < 0.6:
            town = f"{self._fake.city()} {self._fake.postcode()}" if self._random.random() < 0.7 else self._fake.city()
            pieces += [Piece(", "), Piece(town, EITHER, -self._group)]
        return pieces

    def _person(self) -> list[Piece]:
        if self._language in _UNSPACED:
            name = str(self._fake.name()).replace(" ", "")
        elif self._random.random() < 0.5:
            name = f"{self._fake.first_name_female()} {self._fake.last_name()}"
        else:
            name = f"{self._fake.first_name_male()} {self._fake.last_name()}"
        return self._plain("PERSON", name)

    def _given(self) -> list[Piece]:
        return self._plain("PERSON", self._fake.first_name())

    def _surname(self) -> list[Piece]:
        return self._plain("PERSON", self._fake.last_name())
