"""The Iceberg lakehouse as Dagster sees it: read only."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from mmplatform.settings import Settings, load
from resources.commits import TableLog, read_log

if TYPE_CHECKING:
    from mmplatform.land.lakehouse import Lakehouse


class LakehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the platform's lakehouse from the same settings as the stream."""

    data_dir: str = Field(
        default="", description="Data directory of the stack; empty: as MMPLATFORM_DATA_DIR says, else `.mmplatform`."
    )

    def settings(self) -> Settings:
        """The platform's settings. Raises ``Misconfigured``."""
        return load(data_dir=self.data_dir) if self.data_dir else load()

    def open(self) -> Lakehouse:
        """The platform's own lakehouse. Raises ``Unavailable``, ``Misconfigured``."""
        from mmplatform.land.lakehouse import Lakehouse

        return Lakehouse.open(self.settings())

    def logs(self, after: Mapping[str, Mapping[str, int]]) -> dict[str, TableLog]:
        """New commits of each table named in ``after``; a table that does not exist yet is left out.

        Raises:
            Unavailable: the catalog or a table cannot be read; an unread table never passes for an empty one.
            Misconfigured: a setting is wrong.
        """
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

        from mmplatform.land.catalogs import catalog_errors

        settings = self.settings()
        if not settings.catalog and not (settings.data_dir / "lakehouse").exists():
            return {}  # nothing ever ran here, and looking must not create it
        lakehouse = self.open()
        found = {}
        for name, seen in after.items():
            with suppress(NoSuchNamespaceError, NoSuchTableError), catalog_errors(f"read what landed in {name}"):
                found[name] = read_log(lakehouse.table(name), seen)
        return found
