"""S3 and Glue through dagster-aws, with the platform's own variables.

A set variable is passed on by its name: Dagster reads it when a run starts, and shows and stores only the name. An
unset one is left out, for Dagster refuses a variable without a value; AWS's default chain applies then.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource
from dagster_aws.utils import ResourceWithBoto3Configuration, construct_boto_client_retry_config

from mmplatform.settings import Settings, env_var_name


class GlueResource(ResourceWithBoto3Configuration):
    """AWS Glue as the Iceberg catalog, configured as dagster-aws's resources are: keys, a profile, an endpoint."""

    def get_client(self) -> Any:
        """A client of boto3. Raises boto3's own errors."""
        import boto3

        session: Any = boto3.session.Session(profile_name=self.profile_name)
        return session.client(
            "glue",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            use_ssl=self.use_ssl,
            verify=self.verify,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
            config=construct_boto_client_retry_config(self.max_attempts),  # type: ignore[no-untyped-call]
        )


def s3() -> S3Resource:
    """The object store of the settings."""
    return S3Resource(endpoint_url=_env("s3_endpoint"), **_credentials())


def glue() -> GlueResource:
    """Glue with the S3 keys; its endpoint comes from AWS's own ``AWS_ENDPOINT_URL_GLUE``."""
    return GlueResource(**_credentials())


def _credentials() -> dict[str, Any]:
    return {
        "region_name": _env("s3_region") or Settings.model_fields["s3_region"].default,
        "aws_access_key_id": _env("s3_access_key"),
        "aws_secret_access_key": _env("s3_secret_key"),
    }


def _env(setting: str) -> dg.EnvVar | None:
    name = env_var_name(setting)
    return dg.EnvVar(name) if name else None
