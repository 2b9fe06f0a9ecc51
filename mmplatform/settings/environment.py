"""The only reader of the environment. Every setting is documented in docs/reference/configuration.md; a test compares.

Empty addresses mean "the embedded one": the local stack fills them in for its workers. A real Kafka, S3, Chroma server
or Iceberg catalog replaces the embedded one by setting its address, and nothing else changes.

An empty variable is an unset one: `MMPLATFORM_DATA_DIR=` would otherwise be the current directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from mmplatform.errors import Misconfigured
from mmplatform.settings.backpressure import BackpressureSettings
from mmplatform.settings.canaries import CanarySettings
from mmplatform.settings.dagster import DagsterSettings
from mmplatform.settings.gateway import GatewaySettings
from mmplatform.settings.kafka import KafkaSettings
from mmplatform.settings.lineage import LineageSettings
from mmplatform.settings.models import ModelSettings
from mmplatform.settings.redaction import RedactionSettings
from mmplatform.settings.renamed import refuse_renamed
from mmplatform.settings.stores import StoreSettings
from mmplatform.settings.workers import WorkerSettings

PREFIX: Final = "MMPLATFORM_"


class Setting(NamedTuple):
    """One variable: its name without the prefix, in small letters, and its value."""

    name: str
    value: Any
    description: str


class Settings(
    DagsterSettings,
    LineageSettings,
    RedactionSettings,
    CanarySettings,
    BackpressureSettings,
    WorkerSettings,
    GatewaySettings,
    ModelSettings,
    StoreSettings,
    KafkaSettings,
    BaseSettings,
):
    """Settings of one process, from ``MMPLATFORM_*`` variables."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        # MMPLATFORM_CHAT_HIGH_WATER is ``chat.high_water``; the thresholds that are not set keep their defaults.
        env_nested_delimiter="_",
        env_nested_max_split=1,
        nested_model_default_partial_update=True,
        extra="ignore",
        frozen=True,
    )

    @property
    def models_path(self) -> Path:
        """Folder of the model directories, shared by all checkouts of one user: each model is downloaded once."""
        return self.models_dir or Path.home() / ".cache" / "mmplatform" / "models"

    @property
    def blobs_dir(self) -> Path:
        """Folder of the blobs when no object store is configured."""
        return self.data_dir / "blobs"

    @property
    def warehouse_location(self) -> str:
        """Location that Iceberg writes to: a URI, or the plain absolute path of a local folder."""
        if "://" in self.iceberg_warehouse:
            return self.iceberg_warehouse
        folder = Path(self.iceberg_warehouse) if self.iceberg_warehouse else self.data_dir / "lakehouse" / "warehouse"
        return str(folder.absolute())

    @property
    def tail_is_followed(self) -> bool:
        """True where gateways search the artifacts topic's tail: a passage is retrievable before it is indexed."""
        return self.tail_max_bytes > 0

    def flattened(self) -> Iterator[Setting]:
        """Every setting as the variable that sets it; nested models field by field."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if not isinstance(value, BaseModel):
                yield Setting(name, value, field.description or "")
                continue
            for inner, described in type(value).model_fields.items():
                yield Setting(f"{name}_{inner}", getattr(value, inner), described.description or "")


def secret_text(value: object) -> object:
    """A setting's value with a secret in the clear."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def env_var_name(setting: str) -> str:
    """The variable that holds a setting, empty when it is unset: for callers that pass on its name, not its value."""
    name = f"{PREFIX}{setting.upper()}"
    return name if os.environ.get(name) else ""


def load(**overrides: object) -> Settings:
    """Read the environment.

    Raises:
        Misconfigured: a variable has a wrong value, an old name, or the name of a group; the message names it.
    """
    if unknown := overrides.keys() - Settings.model_fields.keys():
        raise TypeError(f"no such settings: {', '.join(sorted(unknown))}")
    refuse_renamed(os.environ, PREFIX)
    _refuse_groups(os.environ)
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(
            f"{PREFIX}{'_'.join(str(part) for part in e['loc']).upper()}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        )
        raise Misconfigured(f"wrong settings: {wrong} (see docs/reference/configuration.md)") from None
    except SettingsError as error:
        raise Misconfigured(f"wrong settings: {error} (see docs/reference/configuration.md)") from None


def _refuse_groups(environment: Mapping[str, str]) -> None:
    """Refuse the name of a nested model: pydantic-settings would read it as JSON, a second spelling of its fields.

    Raises:
        Misconfigured: names the variable, and the variables to set instead.
    """
    given = {name.upper() for name, value in environment.items() if value}
    for name, field in Settings.model_fields.items():
        group, variable = field.annotation, f"{PREFIX}{name.upper()}"
        if variable in given and isinstance(group, type) and issubclass(group, BaseModel):
            fields = ", ".join(f"{variable}_{inner.upper()}" for inner in group.model_fields)
            raise Misconfigured(f"{variable} is no setting: set {fields} (see docs/reference/configuration.md)")
