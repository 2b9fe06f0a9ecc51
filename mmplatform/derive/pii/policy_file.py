"""Policy file: YAML → redaction policy. A mistake is refused with its line, its column and what is allowed there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmplatform.derive.pii.entities import ENTITIES
from mmplatform.derive.pii.policy import Action, RedactionPolicy, allowed_actions, build_policy
from mmplatform.errors import Misconfigured
from mmplatform.events import Modality

BUILT_IN: Final = Path(__file__).with_name("redaction_policy.yaml")
_MAX_BYTES: Final = 65_536
_MAX_REPORTED: Final = 10
_MAX_DEPTH: Final = 2
_MODALITIES: Final[tuple[Modality, ...]] = get_args(Modality)
_FIELDS: Final = ("version", "entities")

_Path = tuple[str, ...]
_Position = tuple[int, int]
_Problem = tuple[_Position, str]


class _PolicyFile(BaseModel):
    """Shape of the file, each rule given for each modality; which action an entity may have is checked afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
    entities: dict[str, dict[Modality, Action]] = Field(default_factory=dict)


@dataclass(slots=True)
class _Document:
    """Plain values of a YAML document, and where each name and each value stands."""

    names: dict[_Path, _Position] = field(default_factory=dict)
    values: dict[_Path, _Position] = field(default_factory=dict)
    problems: list[_Problem] = field(default_factory=list)

    def read(self, node: Any, path: _Path = ()) -> Any:
        """Convert a node; all scalars are text, so that ``version: 1`` needs no quotes."""
        import yaml

        self.values[path] = _position(node)
        if isinstance(node, yaml.ScalarNode):
            return node.value
        if isinstance(node, yaml.SequenceNode):
            self.problems.append((_position(node), "a list is not allowed here"))
            return None
        if len(path) > _MAX_DEPTH:
            self.problems.append((_position(node), "no more names are allowed below this one"))
            return None
        content: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append((_position(key), "a name is expected before the colon"))
            elif key.value in content:
                self.problems.append((_position(key), f"`{key.value}` stands here a second time"))
            else:
                self.names[*path, key.value] = _position(key)
                content[key.value] = self.read(value, (*path, key.value))
        return content

    def position(self, path: _Path, *, of_name: bool = False) -> _Position:
        """Position of a value or name, or of the closest value around it."""
        if of_name and path in self.names:
            return self.names[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))


def load_policy(path: Path | None) -> RedactionPolicy:
    """Read the policy of a file; without one, the built-in policy.

    Raises:
        Misconfigured: the file cannot be read, or has mistakes; the message has the line and column of each.
    """
    file = path or BUILT_IN
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"the redaction policy {file} cannot be read ({error.strerror}): correct MMPLATFORM_REDACTION_POLICY"
        ) from error
    if len(content) > _MAX_BYTES:
        raise Misconfigured(f"the redaction policy {file} has {len(content)} bytes, and {_MAX_BYTES} are allowed")
    document, values = _parse(file, content)
    if document.problems:
        raise _refusal(file, document.problems)
    try:
        policy = _PolicyFile.model_validate(_for_each_modality(values))
    except ValidationError as error:
        raise _refusal(file, [_shape_problem(document, problem) for problem in error.errors()]) from None
    if problems := list(_rule_problems(document, policy)):
        raise _refusal(file, problems)
    rules: dict[Modality, dict[str, Action]] = {
        modality: {entity: rule[modality] for entity, rule in policy.entities.items() if modality in rule}
        for modality in _MODALITIES
    }
    return build_policy(policy.version, rules)


def _for_each_modality(values: Any) -> Any:
    """Write a rule of one word as the same rule for each modality."""
    if not isinstance(values, dict) or not isinstance(values.get("entities"), dict):
        return values
    entities = {
        name: dict.fromkeys(_MODALITIES, rule) if isinstance(rule, str) else rule
        for name, rule in values["entities"].items()
    }
    return values | {"entities": entities}


def _parse(file: Path, content: bytes) -> tuple[_Document, Any]:
    import yaml

    document = _Document()
    try:
        node = yaml.compose(content.decode("utf-8"), Loader=yaml.SafeLoader)
        return document, {} if node is None else document.read(node)
    except UnicodeDecodeError as error:
        raise Misconfigured(f"the redaction policy {file} is no UTF-8 text at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        position = error.problem_mark or error.context_mark
        where = (position.line + 1, position.column + 1) if position else (1, 1)
        raise _refusal(file, [(where, f"this is no YAML: {error.problem or error.context}")]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _refusal(file, [((1, 1), "this is no YAML that can be read")]) from error


def _shape_problem(document: _Document, problem: Mapping[str, Any]) -> _Problem:
    """Describe what pydantic refuses, by its place in the file."""
    path = tuple(str(part) for part in problem["loc"] if part != "[key]")
    of_name = problem["type"] == "extra_forbidden" or problem["loc"][-1:] == ("[key]",)
    return document.position(path, of_name=of_name), _shape_message(path, problem["type"])


def _shape_message(path: _Path, kind: str) -> str:
    trouble: str
    allowed: tuple[str, ...]
    match path:
        case ():
            trouble, allowed = "names are expected here", _FIELDS
        case ("version", *_):
            trouble = f"`version` is {'missing' if kind == 'missing' else 'not usable'}"
            allowed = ("1 to 40 letters, digits, `.`, `_` and `-`",)
        case ("entities",):
            trouble, allowed = "names of entities are expected here", ENTITIES
        case ("entities", entity, *_) if entity not in ENTITIES:
            return _unknown_entity(entity)
        case ("entities", _, modality) if modality not in _MODALITIES:
            trouble, allowed = f"`{modality}` is no modality", _MODALITIES
        case ("entities", entity, *_):
            trouble, allowed = f"this cannot replace {entity}", allowed_actions(entity)
        case _:
            trouble, allowed = f"`{path[0]}` is no field of a policy", _FIELDS
    return f"{trouble}; allowed: {', '.join(allowed)}"


def _rule_problems(document: _Document, policy: _PolicyFile) -> Iterator[_Problem]:
    """Find entities that do not exist, and actions that an entity may not have."""
    for entity, rule in policy.entities.items():
        path: _Path = ("entities", entity)
        if entity not in ENTITIES:
            yield document.position(path, of_name=True), _unknown_entity(entity)
            continue
        allowed = allowed_actions(entity)
        for modality, action in rule.items():
            if action not in allowed:
                text = f"`{action}` is not allowed for {entity}; allowed: {', '.join(allowed)}"
                yield document.position((*path, modality)), text


def _unknown_entity(entity: str) -> str:
    return f"`{entity}` is no entity; allowed: {', '.join(ENTITIES)}"


def _refusal(file: Path, problems: Iterable[_Problem]) -> Misconfigured:
    found = sorted(set(problems))  # a rule for all modalities is one place
    listed = "; ".join(f"line {line}, column {column}: {text}" for (line, column), text in found[:_MAX_REPORTED])
    more = f"; and {len(found) - _MAX_REPORTED} more" if len(found) > _MAX_REPORTED else ""
    return Misconfigured(f"the redaction policy {file}, {listed}{more} (see docs/reference/redaction-policy.md)")


def _position(node: Any) -> _Position:
    return node.start_mark.line + 1, node.start_mark.column + 1
