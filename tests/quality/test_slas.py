"""Windows of assets from the settings."""

import pytest

from mmplatform.errors import Misconfigured
from mmplatform.settings import load
from quality.slas import ASSET_WINDOWS, LandingWindow, landing_windows


def test_windows_of_the_settings_replace_those_of_their_assets_only():
    windows = landing_windows(" transcripts=86400, raw_chats=60/300 ,")
    assert windows["transcripts"] == LandingWindow(fail_s=86_400)
    assert windows["raw_chats"] == LandingWindow(fail_s=300, warn_s=60)
    assert {name: windows[name] for name in windows if name not in {"transcripts", "raw_chats"}} == {
        name: ASSET_WINDOWS[name] for name in ASSET_WINDOWS if name not in {"transcripts", "raw_chats"}
    }


@pytest.mark.parametrize(
    "wrong",
    ["messages", "messages=", "messages=x", "messages=59", "messages=300/60", "messages=60/60", "messages=1/2/3",
     "messages=nan", "messages=inf", "messages=-60", "others=60", "=60"],
)  # fmt: skip
def test_a_wrong_window_is_refused_by_its_variable(wrong):
    with pytest.raises(Misconfigured, match="MMPLATFORM_FRESHNESS_WINDOWS"):
        load(freshness_windows=wrong)
