"""Chinese, Japanese and Korean names: a family name of a short list, then one or two characters.

These scripts put no space between words, so a name needs a word before or after it (``客户``, ``来电``, ``さん``),
or a given name of the lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from mmplatform.derive.pii.name_lists import name_lists

_EAST_ASIAN: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_JAPANESE: Final = re.compile("[\u3040-\u30ff]|様|氏名|殿")
_HAN: Final = "\u3005\u3400-\u9fff"

_ZH_BEFORE: Final = (
    r"(?:客户|客戶|顾客|顧客|用户|用戶|姓名|名字|联系人|聯絡人|收件人|收货人|持卡人|户名|申请人|本人|我叫|我是|名叫|叫做|这是|這是|致电人|来电人"
    r"|亲爱的|親愛的|尊敬的|经理|经办人|同事|客服|坐席|老师|寄件人|法人|请找|請找|联系|是|和|与|给|找)(?:姓名|名字|名)?[是为為叫:\uff1a,\uff0c\s]{0,3}"
)
_ZH_TITLE: Final = r"(?:先生|女士|小姐|太太|老师|老師|经理|經理|总|主任|医生|醫生|同学|同志)"
_ZH_AFTER: Final = (
    rf"(?:{_ZH_TITLE}|来电|來電|致电|致電|打来|打來|打电话|来信|您好|你好|反映|表示|投诉|要求|申请|咨询|询问|说|說|称)"
)
_ZH_NO_GIVEN: Final = frozenset(
    "来來打说說的先女您你在是致电電要想问問申反需已了和与與及把被给給收无無没沒不未有于於从從向对對投退购購买買咨表称稱认認提请請下联聯留因用订訂账賬付客总經经"
)
_ZH_NO_NAME: Final = frozenset(
    ("安全", "高级", "高清", "金额", "时间", "方法", "方便", "方式", "成功", "常见", "常用", "任何", "全部", "全额")
)

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
        yield from _find_chinese(text)
    yield from _find_korean(text)


def _alternatives(*keys: str) -> str:
    names = {name for key in keys for name in name_lists().by_language[key]}
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


@cache
def _chinese() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    lists = name_lists().by_language
    family = _alternatives("zh-family")
    given = "|".join(sorted((name for name in lists["zh-given"] if len(name) > 1), key=len, reverse=True))
    characters = "".join(
        sorted({character for name in lists["zh-given"] for character in name} | set("小大文子家志国国立"))
    )
    return (
        re.compile(rf"{_ZH_BEFORE}(?P<family>{family})(?P<given>[{_HAN}]{{1,2}})"),
        re.compile(rf"(?P<family>{family})(?P<given>[{_HAN}]{{0,2}}?){_ZH_AFTER}"),
        re.compile(rf"(?P<family>{family})(?P<given>{given})"),
        re.compile(rf"(?<![{_HAN}])(?P<family>{family})(?P<given>[{characters}]{{2}})(?![{_HAN}])"),
    )


def _find_chinese(text: str) -> Iterator[tuple[int, int]]:
    before, after, listed, alone = _chinese()
    for match in before.finditer(text):
        given = match["given"]
        if given[0] in _ZH_NO_GIVEN or match["family"] + given[0] in _ZH_NO_NAME:
            continue
        length = 1 if len(given) == 1 or given[1] in _ZH_NO_GIVEN else 2
        weak = match[0].startswith(("是", "和", "与", "给", "找", "联系", "我是", "这是"))
        if not weak or _is_likely_given(given[:length]):
            yield match.start("family"), match.start("given") + length
    for match in after.finditer(text):
        given = match["given"]
        titled = re.match(_ZH_TITLE, text[match.end("given") :])
        if (given and _is_likely_given(given)) or (not given and titled):
            yield match.start("family"), match.end("given")
    for pattern in (listed, alone):
        for match in pattern.finditer(text):
            if match[0][:2] not in _ZH_NO_NAME:
                yield match.span()


def _is_likely_given(given: str) -> bool:
    """Check that each character stands in some given name of the lists, and none continues a sentence."""
    return all(character in _given_characters() for character in given) and not set(given) & _ZH_NO_GIVEN


@cache
def _given_characters() -> frozenset[str]:
    listed = {character for name in name_lists().by_language["zh-given"] for character in name}
    return frozenset(listed | set("小大文子家志国立一三晓梅雷"))


@cache
def _japanese() -> tuple[re.Pattern[str], ...]:
    family = _alternatives("ja-family")
    given = _alternatives("ja-given")
    name = rf"[{_HAN}\u3041-\u3096\u30a1-\u30fa]"
    return (
        re.compile(rf"(?:{family})[ \u3000]?(?:{given})"),
        re.compile(rf"(?:{family})[ \u3000]{name}{{1,3}}(?![{_HAN}])"),
        re.compile(rf"(?:{family})(?:[ \u3000]?[{_HAN}]{{1,3}}?)?(?={_JA_SUFFIX}|{_JA_SELF})"),
        re.compile(rf"(?<![{_HAN}お])(?P<other>[{_HAN}]{{2,4}}?|[\u30a1-\u30fa\u30fc]{{2,8}})(?={_JA_SUFFIX})"),
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
