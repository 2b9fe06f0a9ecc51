"""Measure the freshness gap from outside: ``python examples/watch_freshness.py [GATEWAY [CHATS]]``.

Sends a chat, searches until the chat is found, and prints how long that took.
"""

import sys
import time
import uuid

import httpx

from mmplatform.client import GatewayClient

gateway_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
chats = int(sys.argv[2]) if len(sys.argv) > 2 else 10  # noqa: PLR2004
with GatewayClient(gateway_url) as gateway, httpx.Client(base_url=gateway_url, timeout=30) as search:
    for number in range(chats):
        subject_id = f"watch-{uuid.uuid4().hex}"
        sent_at = time.monotonic()
        gateway.chat(conversation_id=subject_id, subject_id=subject_id, role="customer", text="is anything new?")
        hits: list[dict[str, float]] = []
        while not hits:
            answer = search.post("/v1/search", json={"query": "news", "subject_id": subject_id}).raise_for_status()
            hits = answer.json()["hits"]
        print(f"chat {number}: found after {time.monotonic() - sent_at:.2f} s, indexed after {hits[0]['gap_s']:.2f} s")
