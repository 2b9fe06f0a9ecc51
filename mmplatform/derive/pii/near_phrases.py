"""Phrases that announce the security code or the PIN of a card somewhere in the same sentence, in many languages."""

from __future__ import annotations

from typing import Final

from mmplatform.derive.pii.labels import label_pattern, split_labels

_CARD_OF: Final = (
    r"(?:\s(?:of|von|de|der|des|della|do|da|van)\s(?:(?:the|my|our|this|that|der|meiner|la|ma|mi|mia|minha|de|mijn)\s)?"
    r"(?:\w{1,20}\s){0,2}?(?:card|visa|master ?card|amex|maestro|plastic|it|karte|\w{0,10}karte|carte|tarjeta|"
    r"carta|cart[ãa]o|kaart|karty)(?![^\W_]))"
)
_NO_OTHER: Final = r"(?!\s(?:of|von|de|des|der|du|del|della|do|da|van)\s)"
_CODE_NOUNS: Final = split_labels(
    """
    cvv/cvv2/cvc/cvc2/csc/cvn/cv2/cid/c v v/c v c
    security code/security number/security digits/security value/card verification value/verification digits
    card verification number/card verification code/card verification data/cvd/cvv code/cvc code/sec code/security no
    verification no/safety code/safety number/check number/card code/control code/control number/control digits
    kartenprüfziffer/kartenprüfwert/criptograma/criptograma visual/cvc nummer/cvv nummer
    kontrollnummer/kontrollziffer/kartensicherheitscode/numéro de sécurité/numero di sicurezza/código verificador
    código cvv/código cvc/codice cvv/код карты/cvc код/cvv код/cvv码/보안코드/cvc번호
    card's verification number/card's security code/validation code
    verification value/signature code
    kartenprüfnummer/prüfnummer/prüfziffer/prüfcode/sicherheitsnummer/sicherheitscode der karte
    cryptogramme/cryptogramme visuel/code de sécurité/código de seguridad/código de segurança/codice di sicurezza
    beveiligingscode/kod zabezpieczający/код безопасности/安全码/安全碼/セキュリティコード/رمز الأمان
    """
)
_DIGITS_OF_THE_BACK: Final = (
    r"(?<![^\W_])(?:"
    r"(?:(?:last|final|little|small|tiny|short|single|extra)\s)?(?:(?:three|3|four|4)[\s\-])?(?:digits?|numbers?|figures|code)\s"
    r"(?:\w{2,12}\s){0,2}?(?:on|at|near|next to|beside|behind|under|by|of)\s(?:the|my|its|this|that)\s"
    r"(?:(?:signature\s)?(?:strip|panel|field|stripe)|signature|back|reverse|rear"
    r"|front of (?:my|the|this) (?:\w{1,12}\s)?(?:card|amex))"
    r"|(?:three|3)[\s\-](?:digits?|numbers?|figures)(?:\s(?:behind|underneath|there))?(?:\s(?:number|code|value|are|is|read|say))?"
    r"|(?:last|final)\s(?:three|3)(?=\s?(?:[:=,]|are|is))"
    r"|code\s[àa]\s(?:trois|3)\schiffres|c[óo]digo\sde\s(?:tr[eê]s|3)\sd[ií]gitos|codice\sdi\s(?:tre|3)\scifre"
    r"|(?:drei|3)\s(?:letzten\s)?(?:ziffern|zahlen|stellen)|(?:drei|3)[\s\-]?stellige[rn]?\s(?:code|nummer|zahl)"
    r"|(?:trois|3)\s(?:derniers\s)?chiffres|(?:tres|3)\s(?:[uú]ltimos\s)?(?:d[ií]gitos|n[uú]meros|cifras)"
    r"|(?:tre|3)\s(?:ultime\s)?(?:cifre|numeri)|(?:tr[êe]s|3)\s(?:[uú]ltimos\s)?(?:d[ií]gitos|n[uú]meros|algarismos)"
    r"|(?:drie|3)\s(?:laatste\s)?cijfers|(?:trzy|3)\s(?:ostatnie\s)?cyfry|(?:три|3)\s(?:последни[ех]\s)?цифры"
    r")(?![^\W_])|[三3]\s?位\s?(?:数字?)?|[三3]\s?桁|세\s?자리|الأرقام الثلاثة"
)
_ON_THE_BACK: Final = (
    r"(?<![^\W_])(?:(?:on|at|from)\s(?:(?:the|its|my)\s)?(?:back|reverse|rear|signature\sstrip|other side|flip side)"
    r"|(?:the|my|its)\s(?:back|rear|reverse)(?:\sside)?(?=\s(?:of|reads|says|shows|has|states)\s|:)|card(?:'s)?\sback|back\s?side"
    r"|flipped\s(?:the|my)\s(?:\w{1,12}\s)?card|turned\s(?:the|my)\s(?:\w{1,12}\s)?card"
    r"|auf\sder\s(?:karten)?rückseite|hinten\s(?:auf\s(?:der|meiner)\s\w{0,20}karte|drauf)|au\s(?:dos|verso)|(?:al|en\sel|del)\s(?:dorso|reverso)"
    r"|(?:números|numeros|n[uú]mero|c[oó]digo|d[ií]gitos)\sde\s(?:atr[áa]s|detr[áa]s)|(?:chiffres|code|num[ée]ro)\sderri[èe]re"
    r"|sul\sretro|no\sverso|op\sde\sachter(?:kant|zijde)|na\sodwrocie"
    r"|на\s(?:обороте|обратной\sстороне))"
    rf"(?:{_CARD_OF}|{_NO_OTHER})(?![^\W_])"
    r"|卡(?:片)?(?:的)?[背后]面|背面(?:的)?[三3]位|カード(?:の)?裏面?|카드\s?뒷면|خلف البطاقة"
)
CODE_PHRASES: Final = rf"(?:{label_pattern(_CODE_NOUNS)}|{_DIGITS_OF_THE_BACK}|{_ON_THE_BACK})"
"""Phrases of a card's security code."""

CODE_HINTS: Final = split_labels(
    """
    cvv/cvc/csc/cvn/cv2/cid/c v/security/verif/valid/signature/strip/digit/number/figures/code/back
    reverse/rear/side/flipped/turned/prüf/pruf/sicherheit/ziffern/zahlen/stell/rückseite/hinten
    cryptogramme/sécurité/securite/chiffres/dos/verso/segur/dígitos/digitos/números/numeros/cifras/dorso
    reverso/sicurezza/cifre/numeri/retro/algarismos/cijfers/achter/beveilig/cyfry/odwrocie/zabezp/цифры
    безопасн/оборот/обратной/安全/位/面/桁/セキュリティ/자리/뒷면/رمز/الأرقام/خلف/three/detrás/atrás/derrière/código
    """
)

_PIN_NOUNS: Final = split_labels(
    """
    pin/pins/pin code/pin number/pin nr/secret number/secret pin/personal identification number
    geheimzahl/geheimnummer/code secret/code confidentiel/code pin/código pin/clave del cajero/clave de la tarjeta/nip
    codice pin/codice segreto/pincode/kod pin/pin kodu/kart şifresi/пин/пин код/пинкод
    暗証番号/取款密码/取款密碼/支付密码/비밀번호 네 자리/الرقم السري/puk/puk code
    """
)
_MACHINE: Final = (
    r"(?:(?:atm|cash\s?(?:machine|point|dispenser)|card terminal|card reader|key\s?pad|telephone banking|phone banking)"
    r"|(?:geld|bank)automat\w{0,3}|automat(?:en)?|distributeur|cajero|bancomat|multibanco|geldautomaat|pinautomaat|"
    r"bankomac\w{0,2}|банкомат\w{0,3})"
)
_ENTER: Final = (
    r"(?:enter|type|key|punch|tap|use|put|input|press|dial|eingeb|gebe|tipp|tape|compose|marc|tecle|digit|toets|wpis|"
    r"ввож|набира)"
)
PIN_PHRASES: Final = rf"(?:(?<!\d[\s\-])(?<!drawing )(?<!safety ){label_pattern(_PIN_NOUNS)})"
"""Phrases of a PIN; ``24 pin`` is a plug."""

PIN_HINTS: Final = split_labels(
    """
    pin/secret/geheim/confiden/clave/nip/segreto/şifre/sifre/пин/暗証/密/비밀/السري/puk
    personal identification
    """
)
AT_A_MACHINE: Final = (
    rf"(?<![^\W_]){_ENTER}\w{{0,5}}\s(?:(?:in|my|the|meine?|mon|mi)\s){{0,2}}"
    rf"(?P<value>\d{{4,6}})(?!\d)\s(?:\w{{1,8}}\s){{0,3}}?{_MACHINE}(?![^\W_])"
    rf"|{_MACHINE}\s(?:\w{{1,8}}\s){{0,2}}?{_ENTER}\w{{0,5}}\s(?:(?:ich|je|yo|the|my|in|als|pin)\s){{0,2}}(?P<code>\d{{4,6}})(?![\d.,:])"
    rf"|(?<![^\W_])(?:code|number|digits|ziffern|zahl|chiffres|d[ií]gitos|cifre|cijfers)\s(?:\w{{1,8}}\s){{0,4}}?{_MACHINE}\s"
    r"(?:is|are|was|ist|sind|est|sont|es|son|è|sono|é|são)\s(?P<number>\d{4,6})(?![\d.,:])"
)
"""A number that is entered at a cash machine; the money that it pays out is none."""

MACHINE_HINTS: Final = split_labels(
    """
    atm/cash/terminal/reader/keypad/key pad/banking/automat/distributeur/cajero/bancomat/multibanco
    bankoma/банкомат
    """
)
