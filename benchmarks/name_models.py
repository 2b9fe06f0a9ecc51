"""Recall and precision of names against processor time, by language model, with and without the lists of names.

    python -m benchmarks.name_models [MODEL …]

All texts are synthetic. The names were written down for this program from many countries; the table states how many of
their words the lists have. Time is that of the whole redactor on ordinary chats, one in six with a name.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.pii import name_east_asia, name_words
from mmplatform.derive.pii.name_lists import NameLists, name_lists
from mmplatform.derive.pii.redactor import PresidioRedactor
from mmplatform.settings import load


def _lines(text: str) -> list[str]:
    return [part.strip() for part in " ".join(text.split()).split(";")]


NAMES = _lines(
    """
    Sarah Connor; Thandiwe Mokoena; Bram Stoker; Zbigniew Brzozowski; Keisha Latimer; Tuan Pham; Oksana Bilyk;
    Declan Byrne; Ingrid Solberg; Mehwish Qureshi; Lucas Ferreira; Aroha Tamihana; Siddharth Iyer; Chidi
    Anagonye; Yuki Hoshino; Pavel Dvorsky; Roisin Gallagher; Ximena Villalobos; Omar Haddad; Leilani Kahale;
    Hamza Benali; Dmitri Volkov; Gwen Pritchard; Matteo Ricci; Anneke Visser; Tendai Moyo; Jin Watanabe; Soledad
    Ibarra; Kwame Boateng; Nadia Petrenko; Rufus Tolliver; Beatrix Kiddo; Ola Nordmann; Farid Rahimi; Colm
    Doherty; Ayesha Siddiqui; Willem Dekker; Precious Ndlovu; Tobias Lindqvist; Mei Chang; Harpreet Gill; Esther
    Nyambura; Ruben Castellanos; Svetlana Morozova; Elif Kaplan; Jamal Whitaker; Bridget Oyelaran; Cormac
    Sweeney; Yolanda Pineda; Graham Thistlewood; Niamh Kavanagh; Vikram Chaudhary; Lotte Hendriks; Amara Nwosu
    """
)
TEMPLATES = _lines(
    """
    {} called about the refund; this is {} calling about my order; please send it to {} instead; the parcel for
    {} never arrived; i am {} and my card was declined; can you ask {} to call me back; order was placed by {}
    last week; spoke to {} yesterday, no answer since
    """
)
CHATS = _lines(
    """
    Hi, my order LF-482193 still says processing. Can you check?; It worked yesterday. Since the update I can't
    log in; The tracking page shows Delivered but there is no parcel; I was charged twice, $186.40 each; OK
    thanks, that helps; Where do I find the invoice for November?; Please cancel the subscription before Friday;
    It says: Payment failed. Try again; I tried Chrome and Firefox on Windows 11, same error PMT-402; Do you
    ship to Canada? How long does it take?; The jacket is too small, I'd like to exchange it for size L; Thank
    you for contacting support. How can I help you today?; Your refund has been issued and takes 5-10 business
    days; The Bluetooth speaker does not connect to my Samsung phone; Is there a discount code for Black
    Friday?; The app crashes when I open Settings > Billing; I never received the SMS code; Could you resend the
    confirmation e-mail please?; The box was damaged and one item is missing; Great, I'll wait. Thanks!; Hello,
    this is Maria Lopez, my order is late; Thanks Kevin, I will try that; Please call Priya Nair about ticket
    5512; My husband John ordered the wrong size
    """
)


@contextmanager
def without_lists() -> Iterator[None]:
    """Let the finders see empty lists of names."""
    nothing: frozenset[str] = frozenset()
    empty = NameLists(nothing, nothing, nothing, nothing, nothing, nothing, name_lists().by_language)
    name_words.rate_word.cache_clear()
    with patch.object(name_words, "name_lists", lambda: empty), patch.object(name_east_asia, "name_lists", name_lists):
        yield
    name_words.rate_word.cache_clear()


def score(redactor: PresidioRedactor) -> str:
    """Recall by letter case, precision and milliseconds, as cells of a table."""
    cells, true_count, wrong = [], 0, 0
    for case in (str.title, str.lower, str.upper):
        texts, spans = [], []
        for number, name in enumerate(NAMES):
            template = TEMPLATES[number % len(TEMPLATES)]
            written = name if case is str.title else case(name)
            start = template.index("{}")
            text = template.format(written)
            texts.append(text.upper() if case is str.upper else text)
            spans.append((start, start + len(written)))
        found = redactor.redact(texts)
        hits = [span in result.spans for span, result in zip(spans, found, strict=True)]
        true_count += sum(hits)
        wrong += sum(len(result.spans) for result in found) - sum(hits)
        cells.append(f"{sum(hits) / len(hits):.2f}")
    cells.append(f"{true_count / (true_count + wrong):.2f}")
    redactor.redact(CHATS)
    started = time.process_time()
    rounds = 20
    for _ in range(rounds):
        redactor.redact(CHATS)
    cells.append(f"{(time.process_time() - started) / rounds / len(CHATS) * 1000:.2f}")
    return " | ".join(cells)


def main(models: list[str]) -> None:
    """Print the table."""
    words = [word for name in NAMES for word in name.split()]
    listed = sum(any(name_words.rate_word(word)) for word in words)
    print(f"{listed} of {len(words)} words of the names are on the lists\n")
    print("| model | lists | capitalised | small | capitals | precision | ms a chat |\n|---|---|---|---|---|---|---|")
    settings = load()
    for model in models:
        redactor = PresidioRedactor(locate_model(model, settings.models_path))
        print(f"| {model} | yes | {score(redactor)} |", flush=True)
        with without_lists():
            print(f"| {model} | no | {score(redactor)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["en-sm", "en-md", "rampart"])
