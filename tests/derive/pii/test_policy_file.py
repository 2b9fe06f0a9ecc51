"""A redaction policy file is read as written, or refused with the place of each mistake and what is allowed there."""

import pytest

from mmplatform.derive.pii.entities import ENTITIES
from mmplatform.derive.pii.policy import ALLOWED_ACTIONS, allowed_actions
from mmplatform.derive.pii.policy_file import BUILT_IN, load_policy
from mmplatform.errors import Misconfigured
from mmplatform.modalities import MODALITIES

NEVER_STORED = ("CVV", "PIN", "PASSWORD", "ONE_TIME_CODE", "SECRET")


@pytest.fixture
def policy(tmp_path):
    def write(text):
        file = tmp_path / "policy.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_policy(file)

    return write


def refusal(policy, text):
    with pytest.raises(Misconfigured) as refused:
        policy(text)
    return str(refused.value)


def test_the_built_in_policy_names_every_entity_and_replaces_each_by_its_kind():
    built_in = load_policy(None)
    assert [built_in.for_modality(modality).actions for modality in MODALITIES] == [{}, {}, {}]
    assert built_in.version.startswith("1-")
    named = [line.strip().removesuffix(": kind") for line in BUILT_IN.read_text().splitlines() if ": kind" in line]
    assert named == list(ENTITIES)


def test_a_rule_of_one_word_counts_for_each_modality_and_a_mapping_for_those_that_it_names(policy):
    found = policy("version: 3\nentities:\n  EMAIL: tag\n  PERSON: {chat: keep, call: tag}\n  CARD: last_four\n")
    assert found.for_modality("chat").actions == {"CARD": "last_four", "EMAIL": "tag", "PERSON": "keep"}
    assert found.for_modality("call").actions == {"CARD": "last_four", "EMAIL": "tag", "PERSON": "tag"}
    assert found.for_modality("screenshot").actions == {"CARD": "last_four", "EMAIL": "tag"}
    assert found.for_modality("chat").retained_entities == {"PERSON"}


def test_every_allowed_rule_is_accepted_and_every_other_one_is_refused(policy):
    assert set(ALLOWED_ACTIONS) == set(ENTITIES)
    for entity in ENTITIES:
        for action in ("kind", "last_four", "tag", "keep"):
            text = f"version: a\nentities: {{{entity}: {{call: {action}}}}}"
            if action in allowed_actions(entity):
                expected = {} if action == "kind" else {entity: action}
                assert policy(text).for_modality("call").actions == expected
            else:
                message = refusal(policy, text)
                assert f"`{action}` is not allowed for {entity}" in message
                assert f"allowed: {', '.join(allowed_actions(entity))}" in message


def test_what_may_never_be_stored_has_no_choice():
    assert {allowed_actions(entity) for entity in NEVER_STORED} == {("kind",)}
    assert allowed_actions("CARD") == ("kind", "last_four")
    for entity in ("CARD", "IBAN", "SSN", "PASSPORT", "BANK_ACCOUNT", "BIRTH_DATE"):
        assert "keep" not in allowed_actions(entity)


def test_the_version_follows_the_rules_and_not_their_spelling(policy):
    first = policy("version: 3\nentities:\n  EMAIL: tag\n  CARD: last_four\n").version
    same = policy(
        "# a comment\nentities: {CARD: {chat: last_four, call: last_four, screenshot: last_four}, EMAIL: tag, IP: kind}"
        "\nversion: '3'"
    ).version
    assert first == same
    others = {
        policy("version: 4\nentities:\n  EMAIL: tag\n  CARD: last_four\n").version,
        policy("version: 3\nentities:\n  EMAIL: tag\n").version,
        policy("version: 3\nentities:\n  EMAIL: {chat: tag}\n  CARD: last_four\n").version,
        policy("version: 3\nentities:\n  EMAIL: keep\n  CARD: last_four\n").version,
    }
    assert len(others) == 4
    assert first not in others


MISTAKES = [
    ("version: 1\nentities:\n  CARD: keep\n", 3, 9, "`keep` is not allowed for CARD; allowed: kind, last_four"),
    ("version: 1\nentities:\n  PIN:\n    chat: kind\n    call: tag\n", 5, 11, "`tag` is not allowed for PIN"),
    ("version: 1\nentities:\n  EMAIL: mask\n", 3, 10, "this cannot replace EMAIL; allowed: kind, tag, keep"),
    ("version: 1\nentities:\n  EMAIL:\n", 3, 9, "this cannot replace EMAIL"),
    ("version: 1\nentities:\n  MAIL: tag\n", 3, 3, "`MAIL` is no entity; allowed: CARD, CVV"),
    ("version: 1\nentities:\n  email: tag\n", 3, 3, "`email` is no entity"),
    ("version: 1\nentities:\n  MAIL: nothing\n", 3, 9, "`MAIL` is no entity"),
    ("version: 1\nentities:\n  EMAIL:\n    chat: tag\n    video: tag\n", 5, 5, "`video` is no modality; allowed: chat"),
    ("version: 1\nentities:\n  EMAIL: {chat: {a: b}}\n", 3, 17, "no more names are allowed below this one"),
    ("version: 1\nentities:\n  EMAIL: [tag]\n", 3, 10, "a list is not allowed here"),
    ("version: 1\nentities:\n  EMAIL: tag\n  EMAIL: keep\n", 4, 3, "`EMAIL` stands here a second time"),
    ("version: 1\nentities: none\n", 2, 11, "names of entities are expected here"),
    ("version: 1\nentity: {}\n", 2, 1, "`entity` is no field of a policy; allowed: version, entities"),
    ("entities:\n  EMAIL: tag\n", 1, 1, "`version` is missing"),
    ("version: my policy\n", 1, 10, "`version` is not usable; allowed: 1 to 40 letters"),
    ("version:\n  - 1\n", 2, 3, "a list is not allowed here"),
    ("", 1, 1, "`version` is missing"),
    ("just words", 1, 1, "names are expected here"),
    ("version: 1\nentities:\n\t CARD: kind\n", 3, 1, "this is no YAML"),
    ("version: 1\nentities: {CARD: kind\n", 3, 1, "this is no YAML"),
    ("version: *other\n", 1, 10, "this is no YAML"),
    ("? [a, b]\n: 1\n", 1, 3, "a name is expected before the colon"),
    ("version: 1\n---\nversion: 2\n", 2, 1, "this is no YAML"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), MISTAKES)
def test_a_mistake_is_refused_with_its_place_and_what_is_allowed(policy, tmp_path, text, line, column, message):
    found = refusal(policy, text)
    assert found.startswith(f"the redaction policy {tmp_path / 'policy.yaml'}, line {line}, column {column}: ")
    assert message in found
    assert "docs/reference/redaction-policy.md" in found


def test_all_mistakes_are_named_once_each_in_the_order_of_the_file(policy):
    found = refusal(policy, "version: 1\nentities:\n  PIN: tag\n  CARD: keep\n  MAIL: tag\n")
    assert found.count("line ") == 3
    assert found.index("line 3") < found.index("line 4") < found.index("line 5")


def test_a_file_without_text_or_of_too_many_bytes_or_missing_is_refused(policy, tmp_path):
    assert "no UTF-8 text at byte 9" in refusal(policy, b"version: \xff")
    assert "65536 are allowed" in refusal(policy, "# " + "x" * 70_000)
    with pytest.raises(Misconfigured, match=r"No such file or directory.*correct MMPLATFORM_REDACTION_POLICY"):
        load_policy(tmp_path / "missing.yaml")
    assert "no YAML" in refusal(policy, b"version: 1\x00")


def test_a_file_that_nests_without_end_or_refers_to_itself_is_refused(policy):
    assert "line 1" in refusal(policy, "{a: " * 5_000)
    assert "line 1" in refusal(policy, "&a {version: *a}")
    assert "line 2" in refusal(policy, "version: 1\nentities: &a {CARD: *a}")
