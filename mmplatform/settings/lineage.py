"""OpenLineage: where run events go."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field, SecretStr

OFF: Final = "off"
"""Value of the address that turns lineage off."""


class LineageSettings(BaseModel):
    """OpenLineage."""

    openlineage_url: str = Field(
        default="",
        pattern=r"^(off|file:.+|https?://.+|kafka(:[A-Za-z0-9._-]+)?)?$",
        description=(
            "Where OpenLineage events go: `file:PATH`, `http(s)://…`, `kafka` or `kafka:TOPIC`; `off`: nowhere; empty: "
            "rotated files in the data directory."
        ),
    )
    openlineage_token: SecretStr = Field(
        default=SecretStr(""), description="Bearer token for a lineage backend that is called over HTTP."
    )
    openlineage_namespace: str = Field(
        default="mmplatform", min_length=1, description="OpenLineage namespace of the jobs of this installation."
    )

    @property
    def sends_lineage(self) -> bool:
        """True unless lineage is turned off."""
        return self.openlineage_url != OFF
