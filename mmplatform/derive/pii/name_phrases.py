"""Phrases that introduce the name of a person, and labels of a name, as regular expressions in many languages.

A space stands for any one space. Phrases are matched in any letter case.
"""

from __future__ import annotations

import re
from typing import Final


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.replace("\n", " ").split(";"))


def any_phrase(phrases: tuple[str, ...]) -> str:
    """Regular expression of any of the phrases, the longest first."""
    by_length = sorted(phrases, key=len, reverse=True)
    return "|".join(re.sub(r" (?!\?)", r"\\s", phrase) for phrase in by_length)


NAME_FOLLOWS: Final = _phrases(
    r"""
    (?:my|her|his|their|customer(?:'s)?|caller(?:'s)?) (?:full |first |last |sur|given )?name(?:'?s| is);
    mein name ist; ich hei(?:ß|ss)e; mon nom est; je m['\u2019]appelle; me llamo; mi nombre es; mi chiamo;
    il mio nome [èe]; (?:o )?meu nome [ée]; me chamo; chamo-me; mijn naam is; ik heet;
    (?:benim )?ad[ıi]m; ismim;
    nazywam si[ęe]; mam na imi[ęe]; jag heter; mitt namn [äa]r; jeg (?:heter|hedder); mit navn er;
    nimeni on; nevem;
    jmenuji se; vol[áa]m sa; zovem se; m[ăa] numesc; tôi tên là; tên tôi là; nama saya; меня зовут; мо[её] имя;
    мене звати; казвам се; με λένε; ονομάζομαι; το όνομά μου είναι; اسمي(?: هو)?; نام من; קוראים לי;
    שמי; मेरा नाम;
    (?:ฉัน|ผม|ดิฉัน)ชื่อ
    """
)
"""Only a name can follow."""

TITLES: Final = _phrases(
    r"""
    mr; mrs; ms; mx; miss; dr; prof; sir; madam; mister; herrn?; frau; mme; mlle; madame; monsieur;
    mademoiselle;
    sra?; señora?; senhora?; don; doña; dona; sig(?:\.?ra)?; signora?; dott; dhr; mevr; mevrouw;
    meneer; pani?; bay;
    bayan; sayın; г-н; г-жа; господин; госпожа; пан[іи]?; κύριε; κυρία; κύριος; κ; كابتن; السيدة?;
    سيدة?; الأستاذة?;
    الدكتورة?; آقای; خانم; מר; גב['\u05f3]; גברת; श्री; श्रीमती; सुश्री
    """
)
"""Titles before a family name."""

GREETINGS: Final = _phrases(
    r"""
    hi; hello; hey; dear; thanks; thank you; thx; sorry; cheers; regards; sincerely; good morning; welcome;
    welcome back; best; kind regards; best regards; yours; attn; signed; love; good afternoon; hallo; lieber?;
    guten tag; sehr geehrter?; gr(?:u|ü)(?:ß|ss)e?; viele gr(?:ü|u)(?:ß|ss)e; danke;
    mit freundlichen gr(?:ü|ue)(?:ß|ss)en; bonjour; bonsoir; salut; chère?; cordialement; merci;
    hola; estimad[oa];
    querid[oa]; saludos; gracias; ciao; gentile; car[oa]; salve; buongiorno; grazie; olá; oi; prezad[oa];
    obrigad[oa]; beste; geachte; hoi; merhaba; cześć; dzień dobry; hej; hei; kära; kære; здравствуйте; привет;
    уважаем(?:ый|ая); с уважением; спасибо; шановн(?:ий|а); дякую; αγαπητ(?:έ|ή);
    γεια(?: σου| σας)?; مرحبا; عزيزي;
    عزيزتي; أهلا; سلام; שלום; היקר; היי; לכבוד; नमस्ते; प्रिय; สวัสดี; เรียน; kepada; chào; xin chào
    """
)
"""Greetings, thanks and closings."""

PERSON_FOLLOWS: Final = _phrases(
    r"""
    speaking with; speaking to; speak to; speak with; talk to; talking to; talking with; spoke with; spoke to;
    talked to; on behalf of; colleague; asked for; ask for; husband; wife; daughter; brother; sister; mother;
    father; addressed to; passenger; name of; звонила?; позвонила?; kundin; дзвонила?;
    телефонувала?; hier spricht;
    der kunde; die kundin; le client; la cliente; el cliente
    """
)
"""A person follows, not always by name."""

MAY_INTRODUCE: Final = _phrases(
    r"""
    i am; i'm; i’m; this is; it's; it’s; here is; customer; client; caller; agent; advisor; contact;
    son; manager;
    supervisor; patient; cardholder; recipient; assigned to; its; signed by; named; called; ich bin; hier ist;
    kunde; je suis; c'est; client[e]?; soy; habla; cliente; sono; sou [oa]; aqui [ée]; ik ben;
    klant; ben; müşteri;
    klient(?:ka)?; jag är; jeg er; kunden; клиент(?:ка)?; это; я; клієнт(?:ка)?; πελάτης; η πελάτισσα; είμαι ο;
    είμαι η; ο; η; κλήση από; العميلة?; الزبون; المتصلة?; أنا; معك; مشتری; من; הלקוחה?; לקוחה?; אני; ग्राहक; मैं
    """
)
"""A name or another word follows."""

SURE_LABELS: Final = _phrases(
    r"""
    card ?holder(?:'s)?(?: name)?; name on (?:the )?card; account ?holder(?:'s)?(?: name)?; account owner;
    (?:full|first|last|middle|given|family|maiden|legal|sur)[ _-]?name;
    (?:customer|client|contact|caller|employee|patient|guest)[ _-]?name;
    (?:passenger|recipient|sender|billing|shipping|beneficiary|policy ?holder)(?:'s)?[ _-]name;
    (?:buyer|payer|payee|owner|holder)(?:'s)?[ _-]name;
    customer(?:'s)? name; your name; attn; recipient; ship to; bill to; deliver to; sold to; addressee;
    signed(?: by| in as)?; beneficiary; policy ?holder; agent; assignee; caller; passenger; vor- und nachname;
    vorname; nachname; familienname; kundenname; karteninhaber(?:in)?; kontoinhaber(?:in)?; empfänger(?:in)?;
    ansprechpartner(?:in)?; prénom; nom de famille; nom complet; titulaire(?: de la carte)?; destinataire;
    nombre completo; nombre y apellidos?; apellidos?; titular(?: de la tarjeta)?; destinatario; nome completo;
    cognome; intestatario; sobrenome; apelido; titular do cartão; destinatário; achternaam;
    voornaam; kaarthouder;
    ad soyad; adı soyadı; soyad[ıi]?; kart sahibi; imię i nazwisko; nazwisko; imię; förnamn; efternamn; fornavn;
    etternavn; efternavn; ф\.?и\.?о\.?; фамилия; отчество; имя клиента; держатель карты; получатель;
    прізвище; ім'я;
    όνομα; επώνυμο; ονοματεπώνυμο; الاسم(?: الكامل)?; اسم العميل; اسم حامل البطاقة; الاسم الأول;
    اسم العائلة; نام;
    نام خانوادگی; שם(?: מלא| פרטי| משפחה| הלקוח)?; नाम; पूरा नाम; ชื่อ; ชื่อ-นามสกุล; นามสกุล; ชื่อลูกค้า;
    họ và tên; họ tên; nama(?: lengkap)?; 이름; 성명; 고객명; 예금주; 姓名; 名字;
    客户(?:姓名)?; 客戶(?:姓名)?; 收件人; 收货人; 联系人; 持卡人(?:姓名)?;
    户名; 氏名; お名前; 名前; お客様名; カード名義人?; 口座名義; 担当者?; 宛名; フリガナ
    """
)
"""Labels of a person's name."""

OPEN_LABELS: Final = _phrases(
    r"""
    customer; client; contact; kunde; kundin; cliente; klant; müşteri; klient; клиент(?:ка)?; клієнт; العميلة?;
    הלקוחה?; ग्राहक; ลูกค้า; 고객; お客様; 顾客; user; patient; guest; πελάτης; имя; from; to; von; an; de;
    para; à; name;
    names; nom; nombre; nome; naam; namn; navn; ad[ıi]?; isim; nimi; név; jméno; meno; ime; nume; tên
    """
)
"""Labels whose value may be a name, or the name of a thing."""

THINGS: Final = _phrases(
    r"""
    product; file; user; host; domain; display; brand; company; class; event; table; column; server; network;
    model; plan; item; game; app; application; service; project; device; store; shop; street; city; country;
    bank; field; variable; function; package; image; list; group; team; channel; folder; tag; pet; screen; nick;
    path; database; schema; topic; queue; job; task; theme; branch; code
    """
)
"""Things whose names are no persons: ``file name``."""
