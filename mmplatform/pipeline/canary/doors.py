"""Public doors of the platform, as a canary goes through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import httpx
import structlog
from pydantic import ValidationError

from mmplatform.client.client import GatewayClient
from mmplatform.events import Modality
from mmplatform.ingest.schemas import Accepted
from mmplatform.kafka.canary_key import CANARY_REQUEST_HEADER, open_canary_key
from mmplatform.pipeline.canary import samples
from mmplatform.pipeline.canary.claims import CanaryAnswer
from mmplatform.pipeline.canary.probe import Canary
from mmplatform.proxy import loopback_mounts
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)
SOURCE: Final = "canary"
_ANSWER_S: Final = 10.0
_INVALID_STATUS: Final = 422
_MAX_UNFENCED: Final = 1_000


class PublicDoors:
    """Gateway and search over HTTP. Thread-safe. Close it when done."""

    def __init__(self, settings: Settings, gateway_url: str, search_url: str) -> None:
        headers = {CANARY_REQUEST_HEADER: open_canary_key(settings)}
        self._gateway = GatewayClient(gateway_url, max_attempts=1, timeout_s=_ANSWER_S, headers=headers)
        self._search = httpx.Client(
            base_url=search_url, timeout=_ANSWER_S, mounts=loopback_mounts(search_url), headers=headers
        )
        self._unfenced: dict[str, None] = {}  # nonces of canaries whose fence was refused
        self._is_loss_logged = False
        self._send: dict[Modality, Callable[[Canary], Accepted]] = {
            "chat": self._send_chat,
            "screenshot": self._send_screenshot,
            "call": self._send_call,
        }

    def send(self, canary: Canary) -> Accepted:
        """Send the events of a canary; returns the acceptance of the last. Raises as the gateway's client."""
        return self._send[canary.modality](canary)

    def search(self, canary: Canary, token: str, max_wait_s: float) -> CanaryAnswer | None:
        """Search for a canary, behind its token where the gateway follows the log; None: there was no answer."""
        query = {
            "query": samples.nonce_words(canary.nonce),
            "subject_id": canary.subject_id,
            "modalities": [canary.modality],
        }
        fence = {"after": [token], "max_wait_ms": int(max_wait_s * 1000)}
        if canary.nonce in self._unfenced:
            fence = {}
        try:
            answer = self._search.post("/v1/search", json=query | fence, timeout=_ANSWER_S + max_wait_s)
            if answer.status_code == _INVALID_STATUS and fence:
                self._note_refused_fence(canary)
                return None
            found = CanaryAnswer.model_validate_json(answer.raise_for_status().content)
        except (httpx.HTTPError, ValidationError):
            return None
        if fence:
            self._is_loss_logged = False
        return found

    def _note_refused_fence(self, canary: Canary) -> None:
        """Search for this canary without its token: without a tail there is nothing to wait for. The next one tries."""
        if len(self._unfenced) >= _MAX_UNFENCED:
            self._unfenced.clear()
        self._unfenced[canary.nonce] = None
        if not self._is_loss_logged:
            self._is_loss_logged = True
            _log.warning("the search refuses to wait for canaries: no claim of a fence is tested")

    def close(self) -> None:
        """Close the connections."""
        self._gateway.close()
        self._search.close()

    def _send_chat(self, canary: Canary) -> Accepted:
        return self._gateway.chat(
            conversation_id=canary.conversation_id,
            subject_id=canary.subject_id,
            role="customer",
            text=samples.chat_text(canary.nonce),
            event_id=canary.event_ids[0],
            source=SOURCE,
        )

    def _send_screenshot(self, canary: Canary) -> Accepted:
        return self._gateway.screenshot(
            samples.screenshot_png(canary.nonce),
            "image/png",
            conversation_id=canary.conversation_id,
            subject_id=canary.subject_id,
            event_id=canary.event_ids[0],
            source=SOURCE,
        )

    def _send_call(self, canary: Canary) -> Accepted:
        wav, _ = samples.speech_wav(canary.nonce)
        call_id, subject_id = canary.conversation_id, canary.subject_id
        self._gateway.chunk(
            call_id,
            wav,
            "audio/wav",
            index=0,
            start_s=0.0,
            subject_id=subject_id,
            event_id=canary.event_ids[0],
            source=SOURCE,
        )
        return self._gateway.end_call(call_id, subject_id=subject_id, chunks=1, source=SOURCE)
