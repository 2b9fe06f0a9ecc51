"""Japanese and Korean names: a family name of a short list, then one or two characters; and Chinese ones.

Japanese puts no space between words, so a name needs a word after it (``さん``, ``です``), or a given name of the
lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from mmplatform.derive.pii.name_chinese import HAN, find_chinese_names
from mmplatform.derive.pii.name_lists import name_lists

_EAST_ASIAN: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_JAPANESE: Final = re.compile("[\u3040-\u30ff]|様|氏名|殿")

_JA_SUFFIX: Final = "(?:さん|様|さま|氏|殿|くん|君|ちゃん)"
_JA_SELF: Final = "(?:です|と申します|と言います|といいます|でございます)"
_JA_NO_NAME: Final = re.compile("[者員手店屋社局主客皆奥母父子神王中]$")

_KO_BEFORE: Final = "(?:고객|이름은?|성명|예금주|저는|제 이름은|담당자|받는 ?분|수취인|상담원|회원)[:\uff1a은는 ]{0,3}"
_KO_AFTER: Final = "(?:\\s?(?:고객)?님|\\s?씨|입니다|이라고|라고|이에요|예요|이고|께서)"
_KO_PARTICLE: Final = "(?:이|가|은|는|을|를|의|에게|한테|와|과|도)?"
_KO_NO_GIVEN: Final = re.compile("[자객원품서지]$|메일|용자|번호|문서|제품|소리|벤트")


def find_east_asian_names(text: str) -> Iterator[tuple[int, int]]:
    """Find Chinese, Japanese and Korean names."""
    if text.isascii() or not _EAST_ASIAN.search(text):
        return
    if _JAPANESE.search(text):
        yield from _find_japanese(text)
    else:
        yield from find_chinese_names(text)
    yield from _find_korean(text)


def _alternatives(*keys: str) -> str:
    names = {name for key in keys for name in name_lists().by_language[key]}
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


@cache
def _japanese() -> tuple[re.Pattern[str], ...]:
    family = _alternatives("ja-family")
    given = _alternatives("ja-given")
    name = rf"[{HAN}\u3041-\u3096\u30a1-\u30fa]"
    return (
        re.compile(rf"(?:{family})[ \u3000]?(?:{given})"),
        re.compile(rf"(?:{family})[ \u3000]{name}{{1,3}}(?![{HAN}])"),
        re.compile(rf"(?:{family})(?:[ \u3000]?[{HAN}]{{1,3}}?)?(?={_JA_SUFFIX}|{_JA_SELF})"),
        re.compile(rf"(?<![{HAN}お])(?P<other>[{HAN}]{{2,4}}?|[\u30a1-\u30fa\u30fc]{{2,8}})(?={_JA_SUFFIX})"),
    )


def _find_japanese(text: str) -> Iterator[tuple[int, int]]:
    for pattern in _japanese():
        for match in pattern.finditer(text):
            if "other" in pattern.groupindex and _JA_NO_NAME.search(match[0]):
                continue
            yield match.span()


@cache
def _korean() -> tuple[re.Pattern[str], ...]:
    family = _alternatives("ko-family")
    given = _alternatives("ko-given")
    hangul = "\uac00-\ud7a3"
    return (
        re.compile(rf"(?<![{hangul}])(?P<name>(?:{family}) ?(?:{given}))(?={_KO_AFTER}|{_KO_PARTICLE}(?![{hangul}]))"),
        re.compile(
            rf"{_KO_BEFORE}(?P<name>(?:{family})(?P<given>[{hangul}]{{2}}))(?={_KO_AFTER}|{_KO_PARTICLE}(?![{hangul}]))"
        ),
        re.compile(
            rf"(?<![{hangul}])(?P<name>(?:{family})(?P<given>[{hangul}]{{2}}))(?=\s?(?:고객)?님(?![{hangul}]*문)|\s씨|씨(?![{hangul}]))"
        ),
    )


def _find_korean(text: str) -> Iterator[tuple[int, int]]:
    for pattern in _korean():
        for match in pattern.finditer(text):
            if "given" not in pattern.groupindex or not _KO_NO_GIVEN.search(match["given"]):
                yield match.span("name")
