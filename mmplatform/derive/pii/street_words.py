"""Words of street addresses in the languages that the address finder knows."""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SURE_TYPES: Final = (
    "street|str|st|avenue|ave|av|road|rd|boulevard|blvd|lane|ln|parkway|pkwy|highway|hwy|terrace|turnpike|crescent|cres"
)
"""Kinds of streets that end an address in any letter case."""

DOUBTFUL_TYPES: Final = (
    "drive|dr|court|ct|place|pl|way|square|sq|circle|cir|close|gardens|gdns|grove|mews|plaza|trail|trl|row|walk|"
    "park|hill|rise|loop|alley|path|view|green|vale|wharf|yard|quay|parade|heights|broadway|common|end|meadow|"
    "meadows|ridge|run|"
    # The street suffixes of the postal service of the United States (Publication 28, appendix C1).
    "arcade|bayou|beach|bend|bluffs?|bottom|branch|bridge|brooks?|burgs?|bypass|camp|canyon|cape|causeway|centers?|centres?|"
    "circles|cliffs?|club|corners?|course|courts|coves?|creek|crest|crossing|crossroads?|curve|dale|dam|divide|drives|estates?|"
    "expressway|extensions?|falls?|ferry|fields?|flats?|fords?|forest|forges?|forks?|fort|freeway|gateway|glens?|greens|"
    "groves|harbors?|harbours?|haven|hills|hollow|inlet|islands?|isle|junctions?|keys?|knolls?|lakes?|landing|light|loaf|"
    "locks?|lodge|manors?|mills?|mission|motorway|mount|mountains?|neck|orchard|oval|overpass|parkways|pass|passage|pike|pines?|plains?|"
    "points?|ports?|prairie|radial|ramp|ranch|rapids?|rest|ridges|river|roads|route|rue|shoals?|shores?|skyway|springs?|spurs?|"
    "squares|stations?|stravenue|streets|stream|summit|throughway|trace|tracks?|trafficway|trailer|tunnel|underpass|unions?|"
    "valleys?|viaduct|views|villages?|ville|vista|walks|wall|ways|wells?"
)
"""Kinds of streets that are common words too.

They need capitals, a word of addresses before, or a postal code behind.
"""

CAPITALS_SUFFICE: Final = _words(
    """
    drive dr court ct place pl way square sq circle cir close gardens gdns grove mews plaza broadway bayou bluff
    bluffs brook brooks burg burgs bypass canyon causeway cliff cliffs cove coves creek crest crossing crossroad
    crossroads dale divide estates expressway ferry ford fords forge fork forks freeway glen glens groves harbor
    harbour haven hollow inlet isle junction knoll knolls loaf manor manors meadow meadows mountains neck orchard
    overpass parkways pike pines prairie ranch rapids ridge ridges shoal shoals shore shores skyway spurs
    stravenue throughway trace trafficway trail underpass vale valley valleys viaduct ville vista wharf
    """
)
"""Kinds of streets that, after a number and a name in capitals, are rarely anything else."""

COMMON_IN_SMALL: Final = _words(
    """
    drive dr court ct place pl way square sq circle cir close trail crossing cliff crest divide ford fork forks harbor
    harbour haven hollow junction neck orchard pines rapids ridge shore trace valley ferry creek brook pike ranch
    """
)
"""Kinds that end a phrase in small letters too: ``from 9 to 5 close``."""

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
    r"deliver|delivered|delivery|moved?|reside|resides|located|home|house|apartment|wohne|wohnen|wohnt|habite|vivo|abito|woon|"
    r"mieszkam|anschrift|send it|sent it|send them|to my place|billing|residence|addr|courier|driver|technician|"
    r"neighbou?r|tenant|landlord|property|parcel|package)\b[^\n.!?\d]{0,30}|:\s{0,40})$",
    re.IGNORECASE,
)
_PREPOSITION_BEFORE: Final = re.compile(
    r"(?<![^\W_])(?:at|to|from|near|opposite|outside|is|was|of|visit|for|number|no\.?|and|or)\s{1,2}$|^\s*$|\n\s*$|,\s$",
    re.IGNORECASE,
)
_CUE_CHARS: Final = 48


def follows_cue(text: str, start: int) -> bool:
    """Check for words before an address: ``I live at``, ``ship it to``, ``Address:``."""
    return _CUE.search(text, max(0, start - _CUE_CHARS), start) is not None


def follows_preposition(text: str, start: int) -> bool:
    """Check for a word right before an address, or a line that begins with it: ``left it at``, ``went to``."""
    return _PREPOSITION_BEFORE.search(text, max(0, start - _CUE_CHARS), start) is not None
