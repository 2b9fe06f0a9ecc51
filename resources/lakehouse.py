"""The Iceberg lakehouse as a Dagster resource: read only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pydantic import Field

from resources.aws import GlueResource
from resources.base import ConfiguredResource
from resources.iceberg_commits import CommitReader, TableCommits

if TYPE_CHECKING:
    from mmplatform.land.lakehouse.store import Lakehouse

READ_S: Final = 20.0
"""For the commits of all tables: Dagster ends a sensor after 60 s, and the commits read by then are lost.

A started turn is completed: two reads for each table, below 20 s even when each takes a second on S3.
"""


class LakehouseResource(ConfiguredResource):
    """Opens the platform's lakehouse from the same settings as the stream, AWS Glue through dagster-aws's resource."""

    glue: GlueResource = Field(default_factory=GlueResource, description="Client for the catalog `glue://`.")

    def open(self) -> Lakehouse:
        """The platform's own lakehouse. Raises ``Unavailable``, ``Misconfigured``."""
        from mmplatform.land.lakehouse.store import Lakehouse

        return Lakehouse.open(self.settings(), self.glue.get_client)

    def read_commits(
        self,
        after: Mapping[str, Mapping[str, int]],
        *,
        within_s: float = READ_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> dict[str, TableCommits]:
        """New commits of each table named in ``after``; a table that does not exist yet is left out.

        Tables take turns, one commit each, until everything is read or the time is up: so none waits for another's
        long history, and each advances by a commit at least. Call again from there for the rest.

        Args:
            after: the last sequence number read of each table, by its uuid.
            within_s: no further turn is begun after this.
            clock: seconds that only grow.

        Raises:
            Unavailable: the catalog or a table cannot be read; an unread table never passes for an empty one.
            Misconfigured: a setting is wrong.
        """
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

        from mmplatform.land.lakehouse.catalog import catalog_errors

        settings = self.settings()
        if not settings.iceberg_catalog and not (settings.data_dir / "lakehouse").exists():
            return {}  # nothing ever ran here, and reading must not create it
        deadline = clock() + within_s
        lakehouse = self.open()
        readers = {}
        for name, sequences in after.items():
            with suppress(NoSuchNamespaceError, NoSuchTableError), catalog_errors(f"read what landed in {name}"):
                readers[name] = CommitReader(lakehouse.table(name), sequences)
        unfinished = dict(readers)
        while unfinished:
            for name, reader in list(unfinished.items()):
                with catalog_errors(f"read what landed in {name}"):
                    if not reader.step():
                        del unfinished[name]
            if clock() >= deadline:
                break
        return {name: reader.result() for name, reader in readers.items()}
