import io
import sys

import pytest
from rich.console import Console

from mmplatform.local.status.live_table import ServiceRow, StackSnapshot
from mmplatform.local.status.views import GuardedView, LiveView, PlainView

PICTURE = StackSnapshot([ServiceRow("index", "ready", 0, None)], {}, ("12:00:00 index: … 你好",))


def latin_1_terminal() -> Console:
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding="latin-1", write_through=True), force_terminal=True)


@pytest.mark.parametrize("kind", [LiveView, PlainView])
def test_a_terminal_that_cannot_write_a_character_does_not_end_the_stack(kind):
    view = GuardedView(kind(latin_1_terminal()))
    view.open()
    view.note(PICTURE.notes[0])
    view.show(PICTURE)
    view.close()


def test_a_broken_view_releases_standard_output():
    before = sys.stdout, sys.stderr
    view = GuardedView(LiveView(latin_1_terminal()))
    view.open()
    assert sys.stdout is not before[0]
    view.show(PICTURE)
    assert (sys.stdout, sys.stderr) == before
