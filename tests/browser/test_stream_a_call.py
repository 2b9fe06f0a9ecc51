"""The browser's snippet of the docs, as it stands there, in a real browser with a microphone: speech ends as words."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import TimeoutError as TooSlow
from playwright.sync_api import sync_playwright

from mmplatform.derive.adapters.model_files import locate_model
from mmplatform.derive.adapters.whisper import WhisperTranscriber
from mmplatform.events import CallEnd
from mmplatform.settings import load
from tests.browser.opened import CHROMIUM, QUIET, ROOT, WAIT_MS
from tests.gateway.test_call_stream import served
from tests.integration.bad_inputs.odd_media import speech, wav

PAGE = ROOT / "docs" / "how-to" / "stream-a-call.md"
ADDRESS = "127.0.0.1:8080"
SPOKEN_MS = 240_000
WATCH = """
window.messages = []; window.slices = []; window.recorder = recorder;
socket.addEventListener("message", (event) => messages.push(JSON.parse(event.data)));
recorder.addEventListener("dataavailable", (event) => slices.push(event.data));
"""
POST_SLICE = """async () => {
  const answer = await fetch("/v1/calls/slice/chunks?index=0&start_s=0&subject_id=dana",
    { method: "POST", headers: { "Content-Type": recorder.mimeType }, body: slices[2] });
  return [answer.status, (await answer.json()).detail];
}"""


def snippet() -> str:
    """The page's code for a browser."""
    [code] = re.findall(r"```js\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert ADDRESS in code
    return code


@contextmanager
def gateway(folder: Path):
    """A gateway on a socket, in a thread: Playwright has this one."""
    ready, done, found = threading.Event(), asyncio.Event(), []

    async def serve():
        async with served(folder) as server:
            found.extend((server, asyncio.get_running_loop()))
            ready.set()
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(120)
    server, loop = found
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()


@contextmanager
def page_with_microphone(spoken: Path):
    """A page of a browser whose microphone plays a file once."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"needs {CHROMIUM} (Debian's package chromium)")
    microphone = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}%noloop",
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *microphone])
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        yield page
        browser.close()


@pytest.mark.browser
@pytest.mark.models
@pytest.mark.timeout(600)
def test_what_is_spoken_into_the_snippet_of_the_docs_ends_as_words(tmp_path):
    voice = speech(48_000)
    spoken = tmp_path / "spoken.wav"
    spoken.write_bytes(wav(voice[None], 48_000))
    with gateway(tmp_path / "data") as server, page_with_microphone(spoken) as page:
        console: list[str] = []
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.goto(f"{server.http}/openapi.json")  # a page of the gateway: a microphone needs a trusted origin
        code = snippet().replace(ADDRESS, f"127.0.0.1:{server.port}")
        page.add_script_tag(type="module", content=code + WATCH)
        heard_s = voice.size / 48_000
        acknowledged = f"window.messages && messages.some((m) => m.type === 'ack' && m.end_s >= {heard_s})"
        try:
            page.wait_for_function(acknowledged, timeout=SPOKEN_MS)
        except TooSlow:
            pytest.fail(f"the call was not acknowledged: {page.evaluate('window.messages')}, {console}")
        late_slice = page.evaluate(POST_SLICE)
        page.evaluate("recorder.stop()")
        page.wait_for_function("messages.some((m) => m.type === 'ended')")
        messages = page.evaluate("messages")
    assert {message["type"] for message in messages} <= {"ready", "ack", "wait", "ended"}
    positions = [message["end_s"] for message in messages if message["type"] == "ack"]
    assert positions == sorted(positions)
    *chunks, end = server.events()
    assert isinstance(end, CallEnd)
    assert [chunk.chunk_index for chunk in chunks] == list(range(end.chunks)) == list(range(len(positions)))
    options = load()
    whisper = WhisperTranscriber(locate_model(options.asr_model, options.models_path), language="en")
    words = " ".join(segment.text for segment in whisper.transcribe(np.ascontiguousarray(server.audio()[0])))
    assert "calling" in words.lower()
    assert late_slice[0] == 415
    assert "only the first slice of a recording has a header" in late_slice[1]
