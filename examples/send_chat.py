"""Send a chat of three messages: ``python examples/send_chat.py [GATEWAY]``, against a running ``mmplatform up``."""

import sys
import uuid

from mmplatform.client import ChatBody, GatewayClient

HISTORY = (
    ("customer", "hi, my parcel LF-482193 has not come"),
    ("bot", "I am sorry. It left the depot this morning."),
)

gateway_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
conversation_id = f"chat-{uuid.uuid4().hex}"
with GatewayClient(gateway_url) as gateway:
    # Messages that exist already go in one request, up to 500 of them; a new one goes at once.
    answers = gateway.chats(
        [ChatBody(conversation_id=conversation_id, subject_id="dana", role=role, text=text) for role, text in HISTORY]
    )
    text = "then please send it to my new address"
    answers.append(gateway.chat(conversation_id=conversation_id, subject_id="dana", role="customer", text=text))
    for accepted in answers:
        position = accepted.position
        print(f"{accepted.event_id} is on {position.topic}/{position.topic_partition} at offset {position.offset}")
