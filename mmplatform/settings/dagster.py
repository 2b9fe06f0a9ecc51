"""Dagster: its storage, its port, and alerts of failed runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from quality.slas import landing_windows


def _database(address: SecretStr) -> SecretStr:
    # Without a driver in it SQLAlchemy looks for another one than the extra installs.
    if address.get_secret_value() and not address.get_secret_value().startswith("postgresql+psycopg2://"):
        raise ValueError("must look like postgresql+psycopg2://user:password@host:port/database")
    return address


def _windows(text: str) -> str:
    landing_windows(text)
    return text


class DagsterSettings(BaseModel):
    """Dagster."""

    alert_webhook_url: SecretStr = Field(
        default=SecretStr(""),
        description="URL that gets a JSON POST for each failed Dagster run; empty: no alerts.",
    )
    dagster_postgres_url: Annotated[SecretStr, AfterValidator(_database)] = Field(
        default=SecretStr(""),
        description=(
            "`postgresql+psycopg2://user:password@host:port/database` for Dagster's runs and events (extra "
            "`postgres`); empty: SQLite in the data directory."
        ),
    )
    dagster_compute_logs_url: str = Field(
        default="",
        pattern=r"^(s3://[^/?#]+(/[^?#]*)?)?$",
        description=(
            "`s3://bucket/prefix` for what Dagster's steps print, with the S3 settings; empty: the data directory."
        ),
    )
    dagster_port: int = Field(default=3000, ge=0, le=65535, description="Port of the Dagster UI.")
    dagster_event_retention_days: float = Field(
        default=7.0,
        gt=0,
        description="Days for which Dagster's runs and asset events are kept; the newest of each partition stays.",
    )
    freshness_windows: Annotated[str, AfterValidator(_windows)] = Field(
        default="",
        description=(
            "Seconds after which Dagster's freshness policy of an asset fails, for example `transcripts=86400` for a "
            "nightly one, or `raw_chats=60/300` (warns, fails); empty: as in `quality/slas.py`."
        ),
    )
