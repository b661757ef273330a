"""Language codes as films want them."""

from __future__ import annotations

# ISO 639-1 to ISO 639-2/T, of languages that voices speak.
_CODES = """
af:afr am:amh an:arg ar:ara as:asm az:aze ba:bak be:bel bg:bul bn:ben bs:bos ca:cat cs:ces
cv:chv cy:cym da:dan de:deu el:ell en:eng eo:epo es:spa et:est eu:eus fa:fas fi:fin fr:fra
ga:gle gd:gla gn:grn gu:guj he:heb hi:hin hr:hrv ht:hat hu:hun hy:hye ia:ina id:ind io:ido
is:isl it:ita ja:jpn ka:kat kk:kaz kl:kal kn:kan ko:kor ku:kur ky:kir la:lat lb:ltz lt:lit
lv:lav mi:mri mk:mkd ml:mal mr:mar ms:msa mt:mlt my:mya nb:nob ne:nep nl:nld nn:nno no:nor
om:orm or:ori pa:pan pl:pol pt:por qu:que ro:ron ru:rus sd:snd si:sin sk:slk sl:slv sq:sqi
sr:srp sv:swe sw:swa ta:tam te:tel th:tha ti:tir tk:tuk tn:tsn tr:tur tt:tat ug:uig uk:ukr
ur:urd uz:uzb vi:vie zh:zho
"""
_ISO_639_2 = dict(code.split(":") for code in _CODES.split())


def iso639_2_code(tag: str) -> str:
    """ISO 639-2 for the BCP 47 ``tag``; ``und`` where it is not known."""
    primary = tag.replace("_", "-").partition("-")[0].lower()
    return _ISO_639_2.get(primary, primary if len(primary) == 3 and primary.isalpha() else "und")
