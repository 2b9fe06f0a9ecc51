"""Chinese names: a family name of the list, then one or two characters of given names.

The script puts no space between words, so a candidate is compared with the words that it could be cut out of: in
``明天`` or ``方便`` no name begins or ends. A word before a name (``客户``, ``收件人``) weakens that test, since some
names are words too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from mmplatform.derive.pii.name_lists import name_lists


def _split(text: str) -> frozenset[str]:
    return frozenset(text.split())


HAN: Final = "\u3005\u3400-\u9fff"
_HAN: Final = re.compile(f"[{HAN}]")
_INTRODUCED_BY: Final = (
    "客户|客戶|顾客|顧客|用户|用戶|姓名|名字|本名|真名|联系人|聯絡人|收件人|收貨人|收货人|寄件人|签收人|簽收人|发件人|持卡人|卡主|户名|戶名|户主|戶主|"
    "开户人|开户名|账户名|帐户名|申请人|申請人|预订人|預訂人|预约人|入住人|投保人|被保险人|受益人|委托人|担保人|经办人|经办|负责人|法人|法定代表人|"
    "代表|乘客|旅客|患者|病人|学生|员工|车主|机主|号主|业主|房东|租客|本人|署名|签名|致电人|来电人|亲爱的|親愛的|尊敬的|敬礼|我叫|名叫|叫做|我姓|"
    "经理|經理|主管|同事|客服|专员|坐席|座席|老师|老師|医生|律师|师傅|快递员|快遞員|骑手|司机|秘书|助理|老板|领导|"
    "老公|老婆|丈夫|妻子|爸爸|妈妈|父亲|母亲|儿子|女儿|哥哥|姐姐|弟弟|妹妹|爷爷|奶奶|朋友|同学|室友|邻居|先生叫|请找|請找"
)
_INTRODUCED: Final = re.compile(
    rf"(?:{_INTRODUCED_BY})(?:姓名|名字|名)?(?:写的|登记的|填的)?[是为為叫:\uff1a,\uff0c\s]{{0,3}}$"
)
_MAY_INTRODUCE: Final = re.compile(
    "(?:是|这是|這是|和|与|與|跟|同|给|給|让|讓|找|请|請|联系|聯繫|聯絡|转告|通知|告诉|告訴|感谢|感謝|谢谢|謝謝|多谢|对|對|向|被|由|替|帮|幫|把|问|問|叫|在|约|"
    "姓|经|因|当|跟着|等|陪|接|送)[,\uff0c:\uff1a\\s]{0,2}$"
)
_TITLE: Final = "先生|女士|小姐|太太|老师|老師|经理|經理|总|主任|医生|醫生|同学|同志|师傅|阿姨|叔叔"
_GOES_ON: Final = re.compile(
    rf"(?:{_TITLE}|来电|來電|致电|致電|打来|打來|打电话|打電話|来信|来过|您好|你好|反映|表示|投诉|投訴|要求|申请|申請|咨询|諮詢|询问|说|說|称|的|下单|下的|"
    rf"代收|签收|收到|收$|收[,\uff0c。]|告诉|告訴|给我|給我|发来|寄来|和|跟|与|已经|已經|名下|负责|接待|处理)|[^{HAN}]|$"
)
_COMPOUND: Final = _split(
    "诸葛 諸葛 司马 司馬 上官 欧阳 歐陽 夏侯 皇甫 尉迟 尉遲 公孙 公孫 慕容 令狐 司徒 端木 南宫 "
    "南宮 长孙 長孫 宇文 独孤 獨孤 呼延 闻人 聞人 东方 東方 "
)
"""Family names of two characters."""

_NO_NAMES: Final = _split(
    "安全 高级 高清 金额 时间 方法 方便 方式 成功 常见 常用 任何 全部 全额 敬礼 支持 贵公 权限 "
    "文件 管理 商品 路上 连接 "
)
_NEVER_GIVEN: Final = frozenset(
    "来來打說说的先女您你在是致电電要想问問申反需已了和与與及把被给給收无無没沒不未有于於从從向對对投退购購买買咨表称稱认認提请請下联聯留因用订訂账賬付客总總经經"
    "这這那我他她它們们么什哪吗嗎呢吧就都也还還又再很太最会會能可将將让讓但而且或者如果到去过過着著地得为為以之其此于"
)
_GIVEN: Final = frozenset(
    "伟偉强強军軍勇杰傑涛濤明超刚剛平辉輝鹏鵬华華飞飛鑫波斌宇浩凯凱健俊帆帅帥旭宁寧龙龍林欢歡阳陽建文志国國庆慶东東洋磊亮峰岩坤柱成彬博达達"
    "德栋棟恩方锋鋒福光广廣贵貴桂豪恒恆宏洪鸿鴻厚虎怀懷汇慧惠吉继繼佳嘉家江洁潔锦錦晋晉京晶景静靜娟君康可克兰蘭雷蕾立丽麗莉力利良霖玲凌璐露洛曼梅美"
    "萌梦夢敏民铭銘娜南楠培佩萍琪奇琦启啟谦謙倩巧芹琴青清晴秋泉群然仁荣榮容蓉茹瑞锐銳睿润潤若森珊善尚绍紹深生胜勝诗詩石世书書淑树樹双雙爽顺順思松素"
    "天恬甜婷廷庭彤桐万萬旺威薇巍维維卫衛蔚雯武希熙曦喜霞夏贤賢显顯宪憲香祥翔向晓曉小笑心欣新馨信星兴興幸雄秀轩軒萱学學雪雅亚亞延言妍艳艷燕耀依宜怡艺藝"
    "亦益逸义義毅意翼音银銀引英莹瑩迎盈颖穎影永咏詠友佑羽雨玉育昱毓元圆圓媛远遠岳悦悅月云雲芸允韵韻泽澤增展章昭哲真珍振震正政芝智治中忠洲珠竹卓子梓紫宗祖尊腾騰"
    "丹冰爱愛安保宝寶兵炳灿燦昌长長常畅暢朝晨诚誠承澄冲川传春纯聪聰翠丰豐风凤鳳芳芬菲枫楓甫富钢鋼高歌耕功冠海涵寒汉漢航和河荷贺红紅虹化欢焕煥璜伊尔爾"
    "乐樂莲蓮璇玄珏珺瑶瑤瑛琳琼瓊瑾珂珍珊珑琬璋瑜玥妤姗姍妮娇嬌嫣婉媚嫒姣娥娴嫻婧妙姝好如宸宥宣宽宾家密寅富尧少山峻崇川巧帆幼弘弟彥彦征徽忆忻恺悌惟"
    "懿才扬揚拓拥持捷掌敬斯新方昊昂昕晋晏晖暄暖曼有朋朗木本权權来杏杉李村柏柔柯柳栩桃桢桦梁棠棣楚榆槐樱欣歆毓水汐沁沛沐沙治泓泰津洛洵浚浦涓涵淇淑淳淼清渊"
    "温湘源溪滢滨漪潇潔澜瀚灵灿炎炜烁烨焱然熹燊爵琰甲男略白益盛真睦瞻矩硕碧磊礼祎祐祯禄禹秉科程穎稷空章竞端笛筠筱策简箐米粤紫红纪纲纶绮维缘美翎翠翰耘聿"
    "肖胤育臻舒航良色艾芃芊芙芮花苇苏苑苗若茂茗茜茵荃荔荟莎莘莞菁菊菡菱萍萧葆葵蒙蓓蓝蕊蕴藉虎虹蝶衍裕西见观觉言訓谊谋谕谨谷豫贞贝贤赋赛赞超越路轶辰达迅进远迪"
    "逍通连逸道遥邦郁郡里钊钧钰钟铁铃铎铠铮锋锐锦镇锴镜长闯闻闽阔陆陶隆雁集霁霄霆霏霓露靖韦韬韶顶颂颐飏香驰骁骏骥魁鲁鲜鸣鸿鹃鹏鹤鹰麒麟黎黛齐龄"
)
"""Characters of given names, simplified and traditional."""


def find_chinese_names(text: str) -> Iterator[tuple[int, int]]:
    """Find Chinese names in a text."""
    after = -1
    for match in _family().finditer(text):
        start = match.start()
        if start < after:
            continue
        after = _end_of_name(text, start, match.end(1))
        if after > 0:
            yield start, after


@cache
def _family() -> re.Pattern[str]:
    """Family names, also where one overlaps another; a compound one first."""
    names = sorted(name_lists().by_language["zh-family"] | _COMPOUND, key=len, reverse=True)
    return re.compile(rf"(?=({'|'.join(map(re.escape, names))}))[{HAN}]")


@cache
def _words() -> frozenset[str]:
    return name_lists().by_language["zh-word"]


@cache
def _listed() -> frozenset[str]:
    return frozenset(name for name in name_lists().by_language["zh-given"] if len(name) > 1)


def _end_of_name(text: str, start: int, family_end: int) -> int:
    """End of the name whose family name is given; 0: there is none."""
    before = text[max(0, start - 12) : start]
    introduced = _INTRODUCED.search(before) is not None
    weakly = not introduced and _MAY_INTRODUCE.search(before) is not None
    opens = not before or not _HAN.match(before[-1])
    if not (introduced or weakly or opens) and before[-1] + text[start] in _words():
        return 0
    for length in (2, 1):
        end = family_end + length
        given = text[family_end:end]
        if len(given) < length or not _may_be_given(given):
            continue
        if introduced and _fits(text, start, end, given, loosely=True):
            return end
        if not _fits(text, start, end, given, loosely=False):
            continue
        if length == 2 or weakly or opens:  # noqa: PLR2004 (characters)
            return end if length == 2 or _goes_on(text, end) else 0  # noqa: PLR2004
    titled = re.compile(_TITLE).match(text, family_end)
    return family_end if titled and (opens or introduced or weakly) else 0


def _may_be_given(given: str) -> bool:
    return (
        given in _listed() or all(character in _given_characters() for character in given)
    ) and _NEVER_GIVEN.isdisjoint(given)


@cache
def _given_characters() -> frozenset[str]:
    return _GIVEN | {character for name in name_lists().by_language["zh-given"] for character in name}


def _goes_on(text: str, end: int) -> bool:
    """Check that a sentence can go on after a name that ends here."""
    return _GOES_ON.match(text, end) is not None or text[end] in _NEVER_GIVEN


def _fits(text: str, start: int, end: int, given: str, *, loosely: bool) -> bool:
    """Check that no word begins in a name and ends after it, and that the name is no word itself.

    ``loosely``: a word before says that a name follows.
    """
    words = _words()
    if end < len(text) and text[end - 1 : end + 1] in words and not _goes_on(text, end):
        return False
    first_two = text[start : start + 2]
    if first_two in _NO_NAMES:
        return False
    if loosely or given in _listed() or end - len(given) - start > 1:
        return True
    return first_two not in words and (len(given) == 1 or given not in words or end - start > 3)  # noqa: PLR2004
