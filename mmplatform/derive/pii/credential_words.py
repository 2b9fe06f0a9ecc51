"""Words after "password is" that are no password, and words that end one of several words."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NO_VALUE: Final = _words(
    """
    a about above accepted again all already also always an and another any are as at available bad be because
    been being below better blank but by can can't cannot case case-sensitive changed complex compromised correct
    could default did didn't different does doesn't don't done due each easy either empty encrypted enough entered
    error even every exactly expired expires failed false field fine for forgot forgotten form from gone good
    great had has have he help her here hidden his how i if ignored in incorrect insecure instead into invalid is
    isn't it it's its just keeps known last least like locked long lost mandatory maybe me missing more most must
    my n/a needed never new nil no none nope not nothing now null of off ok okay old on once one only optional or
    our out over page please policy possible private probably protected quite reset required requirements right
    safe same saved secret secure see sent set she shit short should shown simple since so some something somehow
    soon still stolen stored strong stuck such supposed sure temporary that the their them then there these they
    this those though to today tomorrow too true two-factor undefined unknown until unsafe up us used useless
    valid very visible was wasn't we weak what when where which while who why will with within without won't
    working works would wrong yes yesterday yet you your yours yourself unchanged leaked exposed manager managers
    hint hints resets recovery protection generator length strength change changes confirm confirmation again?
    link email button box screen input fields issue issues problem problems attempts attempt prompt rules nicht
    falsch vergessen ungültig abgelaufen zurücksetzen korrekt richtig noch mehr schon leider wurde wird ist kein
    keine zu sehr immer auch geht funktioniert geändert gesperrt und oder wenn aber das der die mein ne n'est pas
    oublié invalide expiré trop toujours le la mon et ou qui que perdu bloqué refusé faux incorrecta incorrecto
    olvidé olvidada caducada inválida muy demasiado para y el mi funciona correcta errata sbagliata non scaduta
    dimenticata corretta troppo che incorreta não esquecida errada niet onjuist verkeerd vergeten verlopen nie
    nieprawidłowe błędne zapomniane wygasło yanlış geçersiz unuttum не неверный забыл забыла неправильный истёк и
    в
    """
)
"""Words that continue a sentence about a password."""

CONTINUATIONS: Final = _words(
    """
    a about after again also always am an and any are as at because before but by can can't cannot could did
    didn't do does doesn't don't email else ever every for from get gets got had has have he help her here hi his
    how i i'm i've if in into is isn't it it's its just keeps let like login me my no not now of on or our out
    please plz pls reset she should since so still than thank thanks that the their them then there these they
    this to today tomorrow too try tried until user username using very was we were what when where which while
    who why will with without won't works would wrong yes yesterday you your yours but, thx fix check change
    changed log und oder aber bitte ich es ist für mit kann danke et ou mais pour je il merci y o pero por yo
    gracias e ma per grazie en maar bedankt ale proszę ve ama и но пожалуйста
    """
)
"""Words that are no part of a password of several words."""

BOTH_WAYS: Final = _words("correct right wrong strong weak secret old new good great long short")
"""Words that end a sentence about a password, and may begin a passphrase."""
