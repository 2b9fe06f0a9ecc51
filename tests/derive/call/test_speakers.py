"""The label of a speaker is a role; a name that a source sends in its place leaves no trace."""

import pytest

from mmplatform.derive.call.speakers import SpeakerLabels
from mmplatform.derive.pii.replacement import Replacements, by_kind
from mmplatform.events import CallEnd
from mmplatform.ports import Redacted
from tests.derive.call.simulated_calls import DictatingTranscriber, DigitRedactor, SimulatedCall

ROLES = [
    *(
        "",
        "customer",
        "Agent",
        "AGENT",
        "agent-2",
        "Agent 12",
        "channel-0",
        "Speaker A",
        "IVR",
        "bot",
        "Kunde",
        "cliente",
    ),
    *(
        "left",
        "Customer (unknown)",
        "support_agent",
        "tier2",
        "PSTN",
        "sales rep",
        "Supervisor 0042",
        "help desk",
        "second level",
    ),
]
NAMES = [
    ("Dana Whitfield", "[PERSON]"),
    ("Dana", "[PERSON]"),
    ("dana whitfield", "[PERSON]"),
    ("DANA WHITFIELD", "[PERSON]"),
    ("Agent Dana Whitfield", "Agent [PERSON]"),
    ("Émile Zola", "[PERSON]"),
    ("Иван Петров", "[PERSON]"),
    ("王小明", "[PERSON]"),
    ("محمد علي", "[PERSON]"),
    ("dana@example.com", "[EMAIL]"),
    ("+1 415 555 0123", "[PHONE]"),
    ("Dana, dana@example.com", "[PERSON], [EMAIL]"),
    ("Frau Whitfield-Meyer", "[PERSON]"),
    ("customer +1 415-555-0123", "customer [PHONE]"),
]


@pytest.fixture(scope="module")
def labels(redactor):
    return SpeakerLabels(redactor)


@pytest.mark.models
@pytest.mark.parametrize("label", ROLES)
def test_a_role_stays(labels, label):
    assert labels.redact(label, by_kind) == label


@pytest.mark.models
@pytest.mark.parametrize(("label", "expected"), NAMES)
def test_a_name_or_an_address_is_redacted(labels, label, expected):
    assert labels.redact(label, by_kind) == expected


@pytest.mark.models
def test_the_policy_decides_what_stands_in_a_label(labels):
    assert labels.redact("Dana", Replacements({"PERSON": "tag"}, "1", b"k").for_conversation("c")).startswith(
        "[PERSON "
    )
    assert len(labels.redact("Dana, Mira, Jonas, Émile, Zoë, Iwan, Karl", by_kind)) <= 64


def test_utterances_gaps_and_passages_of_a_named_speaker_do_not_name_him():
    class Failing(DigitRedactor):
        """Finds no names, and fails on one window."""

        def redact(self, texts, *, spoken=False):
            if any("third" in text for text in texts):
                raise ValueError
            return super().redact(texts, spoken=True) if spoken else [Redacted(text, (), ()) for text in texts]

    call = SimulatedCall(asr=DictatingTranscriber("first", "second", "third", "fourth"), redactor=Failing())
    events = [event.model_copy(update={"speakers": ("Dana Whitfield",)}) for event in call.events]
    end = CallEnd(
        event_id="end", conversation_id="call-1", subject_id="cust-1", event_time=events[-1].event_time,
        ingested_at=events[-1].ingested_at, reason="ended",
    )  # fmt: skip
    artifacts, quarantined, _ = call.fold([*events, end])
    assert quarantined
    _, _, open_call = call.fold(events)
    assert "Whitfield" not in open_call.model_dump_json()
    assert "[PERSON]" in open_call.model_dump_json()
    assert {found.speaker for found in artifacts.values() if found.kind == "utterance"} == {"[PERSON]"}
    assert not [found for found in [*artifacts.values(), *quarantined] if "Whitfield" in found.model_dump_json()]
