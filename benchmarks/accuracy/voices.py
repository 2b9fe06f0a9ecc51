"""Foreign speech by Debian's synthesizer espeak-ng: a call of sentences in one language, and what became of each."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.accuracy.corpora import Absent
from mmplatform.artifacts import Utterance
from mmplatform.derive.media.audio import SAMPLE_RATE, decode
from mmplatform.ports import Audio

SENTENCES: Final[dict[str, tuple[str, ...]]] = {
    "de": (
        "Guten Tag, ich kann meine Bestellung nicht bezahlen, weil die Karte dreimal abgelehnt wurde.",
        "Gestern Abend hat die Bank den Betrag trotzdem von meinem Konto abgebucht.",
        "Bitte schicken Sie mir eine neue Rechnung an meine Adresse in Hamburg.",
        "Vielen Dank für Ihre Hilfe.",
        "Einen Moment bitte.",
    ),
    "es": (
        "Buenos días, no puedo pagar mi pedido porque la tarjeta ha sido rechazada tres veces.",
        "Ayer por la noche el banco cobró el importe de mi cuenta de todas formas.",
        "Por favor, envíeme una factura nueva a mi dirección en Sevilla.",
        "Muchas gracias por su ayuda.",
        "Un momento, por favor.",
    ),
    "fr": (
        "Bonjour, je ne peux pas payer ma commande parce que la carte a été refusée trois fois.",
        "Hier soir, la banque a quand même débité le montant de mon compte.",
        "Veuillez m'envoyer une nouvelle facture à mon adresse à Bordeaux.",
        "Merci beaucoup pour votre aide.",
        "Un instant, s'il vous plaît.",
    ),
    "it": (
        "Buongiorno, non posso pagare il mio ordine perché la carta è stata rifiutata tre volte.",
        "Ieri sera la banca ha comunque addebitato l'importo sul mio conto.",
        "Per favore, mi mandi una nuova fattura al mio indirizzo di Bologna.",
        "Grazie mille per il suo aiuto.",
        "Un momento, per favore.",
    ),
    "nl": (
        "Goedemorgen, ik kan mijn bestelling niet betalen omdat de kaart drie keer is geweigerd.",
        "Gisteravond heeft de bank het bedrag toch van mijn rekening afgeschreven.",
        "Stuurt u alstublieft een nieuwe rekening naar mijn adres in Utrecht.",
        "Hartelijk dank voor uw hulp.",
        "Een ogenblik alstublieft.",
    ),
    "pt": (
        "Bom dia, não consigo pagar o meu pedido porque o cartão foi recusado três vezes.",
        "Ontem à noite o banco debitou o valor da minha conta mesmo assim.",
        "Por favor, envie uma nova fatura para o meu endereço em Coimbra.",
        "Muito obrigado pela sua ajuda.",
        "Um momento, por favor.",
    ),
}
OWN: Final = "in its language"
WORDLESS: Final = "a gap that says why"
ENGLISH: Final = "as English words"
FOREIGN: Final = "in another language"
MISSING: Final = "without a row"
ENDS: Final = (OWN, WORDLESS, ENGLISH, FOREIGN, MISSING)
_PAUSE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Sentence:
    """A spoken sentence, and its position in the call in seconds."""

    language: str
    text: str
    start_s: float
    end_s: float


def call_in(language: str, seed: int) -> tuple[Audio, list[Sentence]]:
    """Build a call of all sentences of a language, with pauses, on a quiet line. Raises Absent."""
    pause = np.zeros(round(_PAUSE_S * SAMPLE_RATE), dtype=np.float32)
    parts, sentences, position = [pause], [], pause.size
    for text in SENTENCES[language]:
        audio = _spoken(language, text)
        ends = position + audio.size
        sentences.append(Sentence(language, text, position / SAMPLE_RATE, ends / SAMPLE_RATE))
        parts += [audio, pause]
        position = ends + pause.size
    joined = np.concatenate(parts)
    noise = np.random.default_rng(seed).normal(0, 3e-4, joined.size)
    return np.asarray(joined + noise, dtype=np.float32), sentences


def end_of(sentence: Sentence, utterances: Sequence[Utterance]) -> str:
    """Name what became of a sentence: one of ``ENDS``; words in a wrong language count before right ones."""
    found = list(_within(sentence, utterances))
    with_words = {utterance.language for utterance in found if utterance.text}
    if not found:
        return MISSING
    if not with_words:
        return WORDLESS
    wrong = with_words - {sentence.language}
    return ENGLISH if "en" in wrong else FOREIGN if wrong else OWN


def _within(sentence: Sentence, utterances: Sequence[Utterance]) -> Iterator[Utterance]:
    """Yield the utterances of which at least half lies in the sentence, or that have at least half of it."""
    for utterance in utterances:
        common_s = min(sentence.end_s, utterance.end_s) - max(sentence.start_s, utterance.start_s)
        shorter_s = min(sentence.end_s - sentence.start_s, utterance.end_s - utterance.start_s)
        if common_s >= shorter_s / 2 > 0:
            yield utterance


def _spoken(language: str, text: str) -> Audio:
    espeak = shutil.which("espeak-ng")
    if espeak is None:
        raise Absent("install the synthesizer espeak-ng: `apt-get install espeak-ng`")
    command = [espeak, "-v", language, "-s", "140", "--stdout", text]
    spoken = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return np.asarray(decode(spoken.stdout, "audio/wav")[0], dtype=np.float32)
