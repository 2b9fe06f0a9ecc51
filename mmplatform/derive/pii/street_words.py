"""Words of street addresses in the languages that the address finder knows."""

from __future__ import annotations

import re
from typing import Final

SURE_TYPES: Final = (
    "street|str|st|avenue|ave|av|road|rd|boulevard|blvd|lane|ln|parkway|pkwy|highway|hwy|terrace|turnpike|crescent|cres"
)
"""Kinds of streets that end an address in any letter case."""

DOUBTFUL_TYPES: Final = (
    "drive|dr|court|ct|place|pl|way|square|sq|circle|cir|close|gardens|gdns|grove|mews|plaza|trail|trl|row|walk|"
    "park|hill|rise|loop|alley|path|view|green|vale|wharf|yard|quay|parade|heights|broadway|common|end|meadow|"
    "meadows|ridge|run"
)
"""Kinds of streets that are common words too.

They need capitals, a word of addresses before, or a postal code behind.
"""

CAPITALS_SUFFICE: Final = frozenset(
    [
        "drive",
        "dr",
        "court",
        "ct",
        "place",
        "pl",
        "way",
        "square",
        "sq",
        "circle",
        "cir",
        "close",
        "gardens",
        "gdns",
        "grove",
        "mews",
        "plaza",
        "broadway",
    ]
)

NO_STREET_WORD: Final = (
    "a|about|after|ago|all|am|an|and|any|are|as|at|away|back|before|but|by|can|did|do|down|each|every|for|from|"
    "get|go|got|had|has|have|he|here|how|i|if|in|into|is|it|its|just|less|like|me|more|my|no|not|now|of|off|ok|"
    "on|or|our|out|over|per|pm|please|she|so|than|that|the|them|then|there|these|they|this|to|too|until|up|us|"
    "was|we|were|what|when|which|while|will|with|you|your|hours?|minutes?|mins?|hrs?|secs?|seconds?|days?|"
    "weeks?|months?|years?|items?|times?|people|users?|gb|tb|mb|kb|ghz|mhz|usb|mm|cm|km|kg|kwh|lbs?|oz|inch|"
    "inches|percent|dollars?|euros?|pounds?|usd|eur|gbp|x|orders?|stars?|lanes?|way|wheel|packs?|piece|person|"
    "seats?|pcs|volt|amp|watt|bit|hard|flash|ssd|disk|test|error|errors|business|working|more|other|different|"
    "full|half|first-class|court|bed|bedroom|mile|miles|blocks?|step|steps|pages?"
)

_CUE: Final = re.compile(
    r"(?:\b(?:address|adresse|dirección|direccion|indirizzo|endereço|adres|live|lives|living|lived|"
    r"ship|shipped|shipping|"
    r"deliver|delivered|delivery|moved?|reside|resides|located|home|house|apartment|wohne|wohnt|habite|vivo|abito|woon|"
    r"mieszkam|anschrift|send it|sent it|send them|to my place|billing|residence)\b[^\n.!?\d]{0,30}|:\s{0,40})$",
    re.IGNORECASE,
)
_CUE_CHARS: Final = 48


def follows_cue(text: str, start: int) -> bool:
    """Check for words before an address: ``I live at``, ``ship it to``, ``Address:``."""
    return _CUE.search(text, max(0, start - _CUE_CHARS), start) is not None
