"""Screens drawn with Pillow, for tests: their content is known to the pixel."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmplatform.locators import Box
from mmplatform.ports import RecognisedLine


@dataclass
class Canvas:
    """An image under construction; every text is also stored as a line, as a perfect reader would."""

    image: Image.Image
    lines: list = field(default_factory=list)

    @classmethod
    def blank(cls, width=1000, height=640, colour="white"):
        return cls(Image.new("RGB", (width, height), colour))

    @property
    def pixels(self):
        return np.array(self.image, dtype=np.uint8)

    def rectangle(self, box, fill=None, outline=None):
        ImageDraw.Draw(self.image).rectangle(box, fill=fill, outline=outline)

    def text(self, x, y, string, size=18, fill="black"):
        draw = ImageDraw.Draw(self.image)
        font = ImageFont.load_default(size=size)
        draw.text((x, y), string, font=font, fill=fill)
        x0, y0, x1, y1 = draw.textbbox((x, y), string, font=font)
        box = Box(x0=x0 - 3, y0=y0 - 3, x1=x1 + 3, y1=y1 + 3)
        self.lines.append(RecognisedLine(string, box, 0.99))

    def button(self, x, y, label, fill="#1f6b49", ink="white", width=150, height=44):
        self.rectangle((x, y, x + width, y + height), fill=fill, outline="#999999")
        length = ImageDraw.Draw(self.image).textlength(label, font=ImageFont.load_default(size=18))
        self.text(x + (width - length) / 2, y + height / 2 - 12, label, fill=ink)

    def dim(self):
        """Dim the page as behind a modal dialog."""
        self.image = Image.blend(self.image, Image.new("RGB", self.image.size, "black"), 0.5)


def shop_page():
    page = Canvas.blank()
    page.text(40, 24, "Northwind Garden", size=30)
    for k, label in enumerate(("Delivery address", "Payment method", "Order summary")):
        page.text(40, 120 + 90 * k, label)
        page.text(40, 150 + 90 * k, f"Step {k + 1} of three is done")
    return page


def error_dialog():
    """A light dialog with a title, a message, two rows of details and two buttons, over a dimmed page."""
    page = shop_page()
    page.dim()
    page.lines = [line for line in page.lines if line.box.x1 < 300 or line.box.y1 < 150]
    page.rectangle((320, 160, 840, 480), fill="white")
    page.text(350, 180, "Payment failed", size=28)
    page.text(350, 230, "Your bank did not answer in time.")
    page.text(350, 256, "No money was taken.")
    for k, (label, value) in enumerate((("Error code", "PMT-402"), ("Attempt", "2 of 3"))):
        page.text(350, 310 + 32 * k, label)
        page.text(520, 310 + 32 * k, value)
    page.button(500, 410, "Cancel", fill="white", ink="black")
    page.button(670, 410, "Try again")
    return page
