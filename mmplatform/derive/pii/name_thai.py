"""Thai names: no space stands before them, so a title or ``ชื่อ`` (name) introduces them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mmplatform.derive.pii.name_words import rate_word

_THAI: Final = re.compile("[\u0e01-\u0e4e]")
_WORD: Final = "[\u0e01-\u0e4e]{2,20}"
_TITLED: Final = re.compile(
    r"(?:นางสาว|นาง|นาย|น\.ส\.|ด\.ช\.|ด\.ญ\.|คุณ|(?:ฉัน|ผม|ดิฉัน|หนู|ลูกค้า)ชื่อ|ชื่อ)[ :]{0,2}"
    rf"(?P<name>{_WORD}(?: {_WORD})?)"
)
_NO_NAME: Final = re.compile(
    "(?:ต้อง|สามารถ|จะ|ได้|ไม่|มี|เป็น|คือ|อยาก|ยัง|ควร|กำลัง|ครับ|ค่ะ|คะ|ภาพ|สมบัติ|ค่า|ผู้|ลูกค้า|สินค้า|ร้าน|บริษัท|ไฟล์|แล้ว|ช่วย|ให้|ของ|ที่|เคย|ลอง|พร้อม|จ้าง|แม่|พ่อ|เสียง|หมอ|ไป)"
)
_AFTER_NAME: Final = re.compile("(?:โทร|แจ้ง|ต้อง|ขอ|ครับ|ค่ะ|คะ|ได้|ไม่|สั่ง|ติดต่อ|บอก|จะ|มี|อยาก|สอบถาม|ร้องเรียน|คืน|ส่ง|ยัง|เป็น)")


def find_thai_names(text: str) -> Iterator[tuple[int, int]]:
    """Find Thai names after a title or a label."""
    if text.isascii() or not _THAI.search(text):
        return
    for match in _TITLED.finditer(text):
        name = match["name"]
        first, _, second = name.partition(" ")
        if _NO_NAME.match(name) and not any(rate_word(first)):
            continue
        verb = _AFTER_NAME.search(first, 2)
        if verb and not any(rate_word(first)):
            yield match.start("name"), match.start("name") + verb.start()
        elif second and not (_AFTER_NAME.match(second) or _NO_NAME.match(second)):
            yield match.span("name")
        else:
            yield match.start("name"), match.start("name") + len(first)
