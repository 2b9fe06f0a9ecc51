"""Measures the memory of the screenshot deriver's process, and of the gateway's, by the size of the screens.

    python -m benchmarks.screen_memory [--sizes 1280x800,5120x1440] [--screens 6] [--max-mb 1400]

Starts a stack of its own on a new data directory and free ports, with no deriver but that of screenshots. Screens of
each size, full of text, go through the gateway until all are derived: by turns the sample's pages side by side, and
lines as wide as the screen. Printed are the resident memory of the whole process after each size, and its peak
meanwhile, as the kernel counts them. No memo answers for a screen. Ends with 1 when the deriver's peak is over
``--max-mb``.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from benchmarks.load import chat_texts, screenshots
from benchmarks.machine import describe, peak_bytes, reset_peak
from benchmarks.unit_costs import Stack, running_stack
from mmplatform.client.client import AsyncGatewayClient
from mmplatform.events import utc_now

_PROCESSES: Final = ("derive-screenshot", "gateway")
_SIZES: Final = "1280x800,1920x1080,2560x1440,5120x1440"
_LINE_PX: Final = 18
_WIDE_LINES: Final = 14
"""Lines over the whole width; a reader of a screen sees no more, and each takes the recogniser seconds."""

_MB: Final = 1e6


def screens(size: tuple[int, int], seed: int) -> Iterator[bytes]:
    """Yield screens of one size without end, as PNG: pages side by side, then wide lines of text, and so on."""
    pages, lines = screenshots(seed), chat_texts()
    width, height = size
    number = 0
    while True:
        image = Image.new("RGB", size, "white")
        if number % 2 == 0:
            page = Image.open(io.BytesIO(next(pages)))
            for left in range(0, width, page.width):
                for top in range(0, height, page.height):
                    image.paste(page, (left, top))
        else:
            _write_lines(image, lines, f"session {seed}-{number}")
        out = io.BytesIO()
        image.save(out, "PNG")
        yield out.getvalue()
        number += 1


def _write_lines(image: Image.Image, lines: list[str], title: str) -> None:
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=_LINE_PX)
    text = " ".join([title, *lines])
    for row in range(_WIDE_LINES):
        start, top = 37 * row % len(text), 8 + 2 * _LINE_PX * row
        draw.text((8, top), (text[start:] + text)[: image.width // 8], font=font, fill="black")


async def send(stack: Stack, size: tuple[int, int], count: int, seed: int) -> None:
    """Send screens one after the other, as fast as the gateway accepts them."""
    client, images = AsyncGatewayClient(stack.run.gateway), screens(size, seed)
    try:
        for number in range(count):
            await client.screenshot(
                next(images),
                "image/png",
                event_id=f"memory-{seed}-{number}",
                conversation_id=f"memory-{seed}",
                subject_id=f"customer-{number}",
                event_time=utc_now(),
            )
    finally:
        await client.close()


def measure(stack: Stack, size: tuple[int, int], count: int, seed: int) -> dict[str, tuple[int, int]]:
    """Derive screens of one size; return resident and peak bytes by process."""
    pids = {name: stack.run.services[name].pid or 0 for name in _PROCESSES}
    for pid in pids.values():
        reset_peak(pid)
    asyncio.run(send(stack, size, count, seed))
    stack.drained()
    return {name: peak_bytes(pid) for name, pid in pids.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=_SIZES, help="of screens, in pixels, in the order in which they are sent")
    parser.add_argument("--screens", type=int, default=6, help="of each size")
    parser.add_argument("--max-mb", type=float, default=1400.0, help="peak of the deriver, in MB")
    arguments = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in arguments.sizes.split(",")]
    print(f"machine: {describe()}\n", flush=True)
    header = "".join(f" {name}, MB | its peak, MB |" for name in _PROCESSES)
    print(f"| screens |{header}\n|---|{'---|' * 2 * len(_PROCESSES)}")
    peaks = []
    derivers = "chat=0,call=0,screenshot=1"
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder), derivers) as stack:
        resident = {name: peak_bytes(stack.run.services[name].pid or 0) for name in _PROCESSES}
        print(_row("none yet", resident), flush=True)
        for seed, (width, height) in enumerate(sizes):
            found = measure(stack, (width, height), arguments.screens, seed)
            peaks.append(found[_PROCESSES[0]][1])
            print(_row(f"{arguments.screens} of {width}x{height}", found), flush=True)
    sys.exit(max(peaks, default=0) > arguments.max_mb * _MB)


def _row(what: str, found: dict[str, tuple[int, int]]) -> str:
    cells = "".join(f" {found[name][0] / _MB:.0f} | {found[name][1] / _MB:.0f} |" for name in _PROCESSES)
    return f"| {what} |{cells}"


if __name__ == "__main__":
    main()
