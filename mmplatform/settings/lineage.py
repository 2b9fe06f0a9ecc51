"""OpenLineage: where run events go."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr


class LineageSettings(BaseModel):
    """OpenLineage."""

    openlineage_url: str = Field(
        default="",
        pattern=r"^(file:.+|https?://.+|kafka(:[A-Za-z0-9._-]+)?)?$",
        description=(
            "Where OpenLineage events go: `file:PATH`, `http(s)://…`, `kafka` or `kafka:TOPIC`; empty: nowhere."
        ),
    )
    openlineage_token: SecretStr = Field(
        default=SecretStr(""), description="Bearer token for a lineage backend that is called over HTTP."
    )
    openlineage_namespace: str = Field(
        default="mmplatform", min_length=1, description="OpenLineage namespace of the jobs of this installation."
    )
