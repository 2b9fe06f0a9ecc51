"""The Iceberg lakehouse as Dagster sees it: read only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pydantic import Field

from resources.aws import GlueResource
from resources.base import ConfiguredResource
from resources.iceberg_commits import LogReader, TableLog

if TYPE_CHECKING:
    from mmplatform.land.lakehouse.store import Lakehouse

READ_S: Final = 20.0
"""For the commits of all tables: Dagster ends a sensor after 60 s, and what it had read is then lost.

The turn that was begun goes on beyond: two reads for each table, below 20 s even when each takes a second on S3.
"""


class LakehouseResource(ConfiguredResource):
    """Opens the platform's lakehouse from the same settings as the stream, AWS Glue through dagster-aws's resource."""

    glue: GlueResource = Field(default_factory=GlueResource, description="Asked where the catalog is `glue://`.")

    def open(self) -> Lakehouse:
        """The platform's own lakehouse. Raises ``Unavailable``, ``Misconfigured``."""
        from mmplatform.land.lakehouse.store import Lakehouse

        return Lakehouse.open(self.settings(), self.glue.get_client)

    def logs(
        self,
        after: Mapping[str, Mapping[str, int]],
        *,
        within_s: float = READ_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> dict[str, TableLog]:
        """New commits of each table named in ``after``; a table that does not exist yet is left out.

        Tables take turns, one commit each, until everything is read or the time is up: so none waits for another's
        long history, and each gets on by a commit at least. Call again from there for the rest.

        Args:
            after: how far each table was read, by its uuid.
            within_s: when no further turn is begun.
            clock: seconds that only grow.

        Raises:
            Unavailable: the catalog or a table cannot be read; an unread table never passes for an empty one.
            Misconfigured: a setting is wrong.
        """
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

        from mmplatform.land.lakehouse.catalog import catalog_errors

        settings = self.settings()
        if not settings.iceberg_catalog and not (settings.data_dir / "lakehouse").exists():
            return {}  # nothing ever ran here, and looking must not create it
        deadline = clock() + within_s
        lakehouse = self.open()
        readers = {}
        for name, seen in after.items():
            with suppress(NoSuchNamespaceError, NoSuchTableError), catalog_errors(f"read what landed in {name}"):
                readers[name] = LogReader(lakehouse.table(name), seen)
        behind = dict(readers)
        while behind:
            for name, reader in list(behind.items()):
                with catalog_errors(f"read what landed in {name}"):
                    if not reader.step():
                        del behind[name]
            if clock() >= deadline:
                break
        return {name: reader.log() for name, reader in readers.items()}
