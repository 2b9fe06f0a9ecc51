"""The plot is a picture that a browser can draw: well-formed, with a bar for each window."""

from __future__ import annotations

import re
from base64 import b64decode
from xml.etree import ElementTree as ET

import pytest

from quality.windows.baseline import Band
from quality.windows.plot import bar_plot

SVG = "{http://www.w3.org/2000/svg}"


def drawn(markdown):
    [encoded] = re.findall(r"^!\[.*\]\(data:image/svg\+xml;base64,(.*)\)$", markdown)
    return ET.fromstring(b64decode(encoded))  # noqa: S314 (our own)


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 300.0]])
def test_every_window_has_a_bar_within_the_picture(values):
    picture = drawn(bar_plot("a < b", [("day", value) for value in values], passed=True, band=Band(1.0, 0.5, 2.0)))
    bars = picture.findall(f"{SVG}rect")[2:]
    assert len(bars) == len(values)
    assert all(float(bar.get("y")) >= 0 and float(bar.get("height")) >= 0 for bar in bars)
    assert picture.find(f"{SVG}text").text == "a < b"


def test_a_failed_window_has_another_colour():
    passed, failed = (drawn(bar_plot("x", [("a", 1.0)], passed=p)).findall(f"{SVG}rect")[-1] for p in (True, False))
    assert passed.get("fill") != failed.get("fill")


def test_a_plot_is_small_for_dagster_keeps_each_one():
    assert len(bar_plot("rows", [("Thu 05 Mar 12:00", 123.4)] * 8, passed=True, band=Band(1, 0, 2), limit=3)) < 4096
