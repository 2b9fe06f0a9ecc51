"""Stores: the data directory, blobs, the Chroma index, the Iceberg lakehouse."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, SecretStr


class StoreSettings(BaseModel):
    """Stores."""

    data_dir: Path = Field(
        default=Path(".mmplatform"), description="Where the embedded stack keeps its data, logs and run files."
    )
    blob_store_url: str = Field(default="", description="`s3://bucket/prefix`; empty: files under the data directory.")
    s3_endpoint: str = Field(default="", description="URL of an S3-compatible server; empty: AWS.")
    s3_region: str = Field(default="us-east-1", description="S3 region.")
    s3_access_key: str = Field(default="", description="S3 access key; empty: the AWS default chain.")
    s3_secret_key: SecretStr = Field(default=SecretStr(""), description="S3 secret key.")
    chroma_url: str = Field(default="", description="`http://host:port` of a Chroma server; empty: the embedded one.")
    chroma_token: SecretStr = Field(
        default=SecretStr(""), description="Token for the Chroma server, sent as a bearer token."
    )
    iceberg_catalog: str = Field(
        default="",
        description=(
            "Iceberg catalog: `postgresql+psycopg2://…`, `rest+http(s)://…`, `rest+sigv4+http(s)://…` or `glue://`; "
            "empty: SQLite in the data directory."
        ),
    )
    iceberg_catalog_token: SecretStr = Field(
        default=SecretStr(""), description="Bearer token for a REST catalog; `rest+sigv4+…` uses the S3 keys instead."
    )
    iceberg_warehouse: str = Field(
        default="", description="Where Iceberg writes: `s3://…` or a path; empty: under the data directory."
    )
    iceberg_namespace: str = Field(
        default="mmplatform", pattern=r"^[a-z][a-z0-9_]*$", description="Iceberg namespace of the tables."
    )
