"""Photographs the case's pages with a real browser, and reads the truth about each from the page itself.

The truth (texts with their boxes, dialog, buttons) comes from the same layout that was painted, so it is exact.
"""

import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from examples.make.story import Screen

CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-lcd-text",
    "--force-color-profile=srgb",
)

READ_PAGE = """
() => {
  const scale = window.devicePixelRatio;
  const box = r => [r.left, r.top, r.right, r.bottom].map(v => Math.round(v * scale));
  const squash = s => s.replace(/\\s+/g, ' ').trim();
  const dialog = document.querySelector('[role=alertdialog]');
  const over = dialog && dialog.getBoundingClientRect();
  const lines = [];
  const add = (text, node, r) => {
    let covered = 0;
    if (dialog && !dialog.contains(node)) {
      const wide = Math.min(r.right, over.right) - Math.max(r.left, over.left);
      const high = Math.min(r.bottom, over.bottom) - Math.max(r.top, over.top);
      covered = Math.max(0, wide) * Math.max(0, high) / (r.width * r.height);
    }
    if (covered < 0.9) lines.push({text, box: box(r), ...(covered > 0 && {partly_covered: true})});
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = squash(walk.currentNode.data);
    if (!text) continue;
    const range = document.createRange();
    range.selectNodeContents(walk.currentNode);
    add(text, walk.currentNode, range.getBoundingClientRect());
  }
  for (const i of document.querySelectorAll('input')) {
    const r = i.getBoundingClientRect();
    add(i.value, i, new DOMRect(r.left, r.top, 140, r.height));
  }
  const alert = dialog || document.querySelector('[role=alert]');
  return {
    title: document.title,
    heading: squash(document.querySelector('h1').innerText),
    alert: alert && {text: squash(alert.innerText), box: box(alert.getBoundingClientRect())},
    buttons: [...(dialog || document).querySelectorAll('button')].map(b => squash(b.innerText)),
    lines,
  };
}
"""


def photograph(screens: Sequence[Screen], sources: Path, into: Path) -> dict[str, dict[str, Any]]:
    """Writes `into`/NAME.png for each `sources`/NAME.html; returns name → what the page shows (boxes in image pixels).

    Raises:
        RuntimeError: chromium or Playwright is missing.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("the screenshots need a browser, which is missing: apt-get install chromium fonts-inter")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise RuntimeError("the screenshots need Playwright (the extra `dev`), which is missing") from error
    truth: dict[str, dict[str, Any]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGS))
        for screen in screens:
            context = browser.new_context(
                viewport={"width": screen.width, "height": screen.height}, device_scale_factor=screen.scale
            )
            page = context.new_page()
            page.goto((sources / f"{screen.name}.html").resolve().as_uri())
            missing = [f for f in ("Inter", "Liberation Sans") if not page.evaluate(_HAS_FONT, f)]
            if missing:
                raise RuntimeError(f"fonts missing: {missing}; apt-get install fonts-inter fonts-liberation")
            size = _write_png(page.screenshot(), into / f"{screen.name}.png")
            truth[screen.name] = {"width": size[0], "height": size[1], **page.evaluate(READ_PAGE)}
            context.close()
        browser.close()
    return truth


_HAS_FONT = """
name => {
  const pen = document.createElement('canvas').getContext('2d');
  const width = font => { pen.font = `40px ${font}`; return pen.measureText('Payment failed 0142 mmmll').width; };
  return width(`"${name}", monospace`) !== width('monospace');
}
"""


def _write_png(shot: bytes, path: Path) -> tuple[int, int]:
    with Image.open(BytesIO(shot)) as image:
        flat = image.convert("RGB")
        flat.save(path, format="PNG", optimize=True)
        return flat.size
