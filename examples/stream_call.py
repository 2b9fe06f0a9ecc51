"""Stream the sample call: ``python examples/stream_call.py [GATEWAY [SPEED]]``; speed 1 is real time (90 s)."""

import io
import sys
import time
import uuid
import wave
from pathlib import Path

import av  # noqa: TID253 - an example shows its imports at the top

from mmplatform.client import GatewayClient

CALL = Path(__file__).parent / "payment-failed" / "call.flac"

gateway_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
speed = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0  # noqa: PLR2004
call_id = f"call-{uuid.uuid4().hex}"
chunks = 0
with av.open(str(CALL)) as audio, GatewayClient(gateway_url) as gateway:
    for chunks, frame in enumerate(audio.decode(audio=0), start=1):
        time.sleep(frame.samples / frame.sample_rate / speed)  # a chunk is sent when its last sample was captured
        wav = io.BytesIO()
        with wave.open(wav, "wb") as file:
            file.setparams((2, 2, frame.sample_rate, 0, "NONE", ""))  # two channels of 16 bits: agent, customer
            file.writeframes(frame.to_ndarray().tobytes())
        gateway.chunk(
            call_id,
            wav.getvalue(),
            "audio/wav",
            index=chunks - 1,
            start_s=frame.time,
            subject_id="dana",
            speakers=("agent", "customer"),
        )
    gateway.end_call(call_id, subject_id="dana", chunks=chunks)
print(f"{call_id}: {chunks} chunks are on the log")
