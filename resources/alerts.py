"""The alert webhook of the settings, for failed runs and state changes. Its outage affects nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from mmplatform.errors import Misconfigured, PlatformError, Unavailable
from resources.base import ConfiguredResource

ANSWER_S: Final = 5.0
"""Several runs may have failed since the last tick, and Dagster ends a sensor after 60 s."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A failed run, without customer text: ``error`` is a type, ``link`` leads to the run in the UI."""

    job: str
    run_id: str
    error: str
    link: str


@dataclass(frozen=True, slots=True)
class Notice:
    """The start or end of a breach, without customer text; ``link`` leads to the asset in the UI."""

    text: str
    link: str


class AlertsResource(ConfiguredResource):
    """Posts to the webhook of the stream's settings."""

    def is_configured(self) -> bool:
        """True when the settings name a webhook. Raises ``Misconfigured``."""
        return bool(self.settings().alert_webhook_url.get_secret_value())

    def run_link(self, run_id: str) -> str:
        """Address of a run in the UI of the running stack, else at the port of the settings. Raises Misconfigured."""
        return f"{self._ui()}/runs/{run_id}"

    def asset_link(self, asset: str) -> str:
        """Address of an asset in the UI, as :meth:`run_link`. Raises Misconfigured."""
        return f"{self._ui()}/assets/{asset}"

    def _ui(self) -> str:
        from mmplatform.local.run_file import read_running

        settings = self.settings()
        run = read_running(settings.data_dir)
        return run.dagster if run is not None and run.dagster else f"http://127.0.0.1:{settings.dagster_port}"

    def send(self, alert: Alert | Notice) -> None:
        """Post it, once.

        Raises:
            Unavailable: the webhook does not answer, or refuses; its address is a secret and is not repeated.
            Misconfigured: it is no address.
        """
        import httpx

        from mmplatform.proxy import loopback_mounts

        url = self.settings().alert_webhook_url.get_secret_value()
        text = f"{alert.job} failed: {alert.error}" if isinstance(alert, Alert) else alert.text
        body = {**asdict(alert), "text": f"{text} {alert.link}"}
        try:
            with httpx.Client(timeout=ANSWER_S, mounts=loopback_mounts(url)) as client:
                answer = client.post(url, json=body)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL):
            raise Misconfigured("MMPLATFORM_ALERT_WEBHOOK_URL must look like https://host/path") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"the alert webhook does not answer ({type(error).__name__})") from None
        if not answer.is_success:
            raise Unavailable(f"the alert webhook refused the alert: {answer.status_code}")


def try_send(alerts: AlertsResource, alert: Alert | Notice) -> str:
    """Send it; returns the error's message, empty when the alert was accepted. Never raises the platform's errors."""
    try:
        alerts.send(alert)
    except PlatformError as error:
        return f"{type(error).__name__}: {error}"
    return ""
