"""The documentation says what the code does: settings, verbs, tables, schemas, links."""

import json
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

from mmplatform.cli.main import app
from mmplatform.cli.schemas import schema_text, schemas
from mmplatform.derive.pii.entities import ENTITIES
from mmplatform.modalities import ARTIFACTS_TOPIC, DEAD_LETTERS_TOPIC, MODALITIES, QUARANTINE_TOPIC, TABLES
from mmplatform.settings.environment import Settings, secret_text
from mmplatform.settings.renamed import RENAMED

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SETTINGS = {setting.name: setting for setting in Settings.model_construct().flattened()}
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "examples" / "README.md", *sorted(DOCS.rglob("*.md"))]


def setting_row(name):
    """The row that docs/reference/configuration.md must have for a setting."""
    setting = SETTINGS[name]
    default = secret_text(setting.value)
    shown = "" if default in {None, ""} else f"`{default}`"
    return f"| `MMPLATFORM_{name.upper()}` | {shown} | {setting.description} |"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_documented_with_its_default(name):
    text = (DOCS / "reference" / "configuration.md").read_text()
    assert setting_row(name) in text.splitlines(), (
        f"docs/reference/configuration.md must have the row: {setting_row(name)}"
    )


def test_no_setting_is_documented_that_does_not_exist():
    named = set(
        re.findall(
            r"^\| `MMPLATFORM_([A-Z0-9_]+)`", (DOCS / "reference" / "configuration.md").read_text(), re.MULTILINE
        )
    )
    assert named == {name.upper() for name in SETTINGS}


def verbs(command, path=()):
    """Every verb that is not hidden, nested ones with their parent's name before them, and the command behind it."""
    for name, found in command.commands.items():
        if hasattr(found, "commands"):
            yield from verbs(found, (*path, name))
        elif not found.hidden:
            yield " ".join((*path, name)), found


VERBS = dict(verbs(typer.main.get_command(app)))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_is_documented(verb):
    sections = re.split(r"^## ", (DOCS / "reference" / "cli.md").read_text(), flags=re.MULTILINE)
    section = next((each for each in sections if each.startswith(f"`mmplatform {verb}`")), None)
    assert section, f"docs/reference/cli.md has no section for mmplatform {verb}"
    for parameter in VERBS[verb].params:
        if parameter.param_type_name == "option" and parameter.name != "help" and not parameter.hidden:
            assert f"`{parameter.opts[0]}" in section, (
                f"docs/reference/cli.md: mmplatform {verb} has an option {parameter.opts[0]}"
            )


def test_no_verb_is_documented_that_does_not_exist():
    assert set(
        re.findall(r"^## `mmplatform ([a-z -]+)`", (DOCS / "reference" / "cli.md").read_text(), re.MULTILINE)
    ) == set(VERBS)


def test_every_table_and_topic_is_documented():
    text = (DOCS / "reference" / "tables.md").read_text()
    assert set(re.findall(r"^### `([a-z_]+)`", text, re.MULTILINE)) == {*TABLES, "index"}
    topics = {*(spec.topic for spec in MODALITIES.values()), ARTIFACTS_TOPIC, QUARANTINE_TOPIC, DEAD_LETTERS_TOPIC}
    assert all(f"`{topic}`" in text for topic in topics)


@pytest.mark.parametrize("name", schemas())
def test_published_schemas_are_those_of_the_records(name):
    path = DOCS / "schemas" / f"{name}.json"
    assert path.read_text() == schema_text(schemas()[name]), "run: mmplatform schemas"


def test_published_schemas_judge_as_the_records_do():
    jsonschema = pytest.importorskip("jsonschema")
    good = {
        "schema_version": 2, "kind": "chat_message", "event_id": "e", "conversation_id": "c", "subject_id": "s",
        "event_time": "2026-03-01T09:00:00Z", "ingested_at": "2026-03-01T09:00:00Z", "role": "customer", "text": "hi",
    }  # fmt: skip
    validator = jsonschema.Draft202012Validator(json.loads((DOCS / "schemas" / "events.json").read_text()))
    assert validator.is_valid(good)
    assert not validator.is_valid(good | {"role": "nobody"})
    assert not validator.is_valid(good | {"schema_version": 1})
    assert not validator.is_valid(good | {"tenant": "No Tenant"})
    assert validator.is_valid(good | {"surprise": 1}), "a reader keeps the fields of a later release"


def anchors(page):
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = unquote(target).partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{page.name} links to {target}"


def named_functions(page):
    """The functions and files that a page names as [`name`](file), each with its file."""
    return re.findall(r"\[`([\w.]+)`\]\((?:\.\./)*([\w/]+\.py)\)", page.read_text())


def test_the_walk_through_the_code_is_long_enough_to_lead_somewhere():
    assert len(named_functions(DOCS / "explanation" / "code-walk.md")) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_function_that_a_page_links_is_defined_in_that_file(page):
    for function, file in named_functions(page):
        if function.endswith(".py"):
            assert f"/{file}".endswith(f"/{function}")
            continue
        name = function.split(".")[-1]
        source = (ROOT / file).read_text()
        assert re.search(rf"^\s*(async def|def|class) {name}\b|^{name}\b.*=", source, re.MULTILINE), (
            f"{function} in {file}"
        )


def test_every_page_is_listed_in_the_reading_order():
    listed = {
        (DOCS / target).resolve() for target in re.findall(r"\]\(([^)#]+\.md)[)#]", (DOCS / "README.md").read_text())
    }
    assert {page for page in PAGES if page != DOCS / "README.md"} - listed == set()


def test_the_page_for_contributors_has_the_layers_that_the_linter_holds():
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = [row for row in linter["contracts"] if row["name"].startswith("Inside mmplatform")]
    table = (ROOT / "AGENTS.md").read_text().partition("\n## Layers\n")[2].partition("\n## ")[0]
    layers = [layer.replace("\\|", "|") for layer in re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)]
    assert layers == contract["layers"]


def test_the_glossary_has_the_words_that_matter():
    text = (DOCS / "reference" / "glossary.md").read_text().lower()
    for word in (
        "event",
        "artifact",
        "utterance",
        "passage",
        "subject",
        "position",
        "lag",
        "watermark",
        "bucket",
        "gap",
    ):
        assert f"**{word}**" in text


def test_the_page_on_bad_input_names_every_row_of_the_table():
    from tests.integration.bad_inputs import ROWS

    named = re.findall(r"^\| ([^|]+) \|", (DOCS / "reference" / "bad-input.md").read_text(), re.MULTILINE)
    assert [row.name for row in ROWS if named.count(row.name) != 1] == []
    sections = {"input", "end", "refused", "quarantined", "dead letter", "found, or kept", "unread"}
    assert {name for name in named if not name.startswith("---")} - {row.name for row in ROWS} <= sections


def test_the_page_on_personal_data_has_every_entity():
    sections = re.split(r"^## ", (DOCS / "reference" / "personal-data.md").read_text(), flags=re.MULTILINE)
    (entities,) = [section for section in sections if section.startswith("Entities")]
    assert re.findall(r"^\| `([A-Z_]+)` \|", entities, re.MULTILINE) == list(ENTITIES)


def test_the_changelog_names_no_setting_that_was_renamed():
    named = set(re.findall(r"MMPLATFORM_([A-Z0-9_]+)", (ROOT / "CHANGELOG.md").read_text()))
    assert named <= {name.upper() for name in SETTINGS}
    assert not named & {name.upper() for name in RENAMED}
