"""Phones of ARPAbet, as the English model of pocketsphinx has them, for what no dictionary has.

Either eSpeak NG says how a word is pronounced, in the letters of the International Phonetic Alphabet (IPA), or rules
do, which know the usual sounds of English letters. An aligner does not need more: the words are known, and the sounds
only have to be more alike to them than to their neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from unicodedata import name, normalize

PHONES: Final = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K",
    "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
"""All of them (http://www.speech.cs.cmu.edu/cgi-bin/cmudict)."""


def _table(text: str) -> dict[str, str]:
    """``a=AE b=B x=K+S``, as a dict."""
    return {key: sounds.replace("+", " ") for key, _, sounds in (pair.partition("=") for pair in text.split())}


_IPA: Final = _table(
    "tʃ=CH dʒ=JH ts=T+S pf=P+F eɪ=EY aɪ=AY aʊ=AW ɔɪ=OY ɔʏ=OY oʊ=OW əʊ=OW ɪə=IH+R eə=EH+R ʊə=UH+R aɪɚ=AY+ER ɜː=ER "
    "əl=AH+L n̩=AH+N m̩=AH+M l̩=AH+L eː=EY p=P b=B t=T d=D k=K g=G ɡ=G f=F v=V θ=TH ð=DH s=S z=Z ʃ=SH ʒ=ZH h=HH "
    "m=M n=N ŋ=NG l=L ɫ=L ɹ=R r=R ɾ=T w=W j=Y ʔ=T x=HH ç=HH χ=HH ħ=HH ɦ=HH ɣ=G β=V ɸ=F ʋ=V ʎ=L+Y ɲ=N+Y ʁ=R ʀ=R "
    "ɻ=R ɽ=R c=K ɟ=G q=K ʈ=T ɖ=D ɳ=N ɭ=L ʂ=SH ʐ=ZH ɕ=SH ʑ=ZH ɥ=W i=IY ɪ=IH ᵻ=IH ɨ=IH e=EY ɛ=EH æ=AE a=AA ɑ=AA "
    "ɒ=AA ɔ=AO o=OW ʊ=UH u=UW ʉ=UW ɯ=UW ʌ=AH ɐ=AH ə=AH ɘ=AH ɤ=AH ɜ=ER ɚ=ER ɝ=ER y=UW ʏ=UH ø=ER œ=ER ɵ=ER \u0303=N"
)
"""The nearest phones of letters of IPA, and of those that belong together; a nasal vowel ends with an N."""

_LETTERS: Final = _table(
    "tion=SH+AH+N sion=ZH+AH+N ture=CH+ER ough=AO augh=AO eigh=EY igh=AY tch=CH dge=JH sch=SH ch=CH sh=SH th=TH "
    "ph=F wh=W ck=K ng=NG nk=NG+K qu=K+W gh=G kn=N wr=R ee=IY ea=IY ie=IY ei=EY ey=IY oo=UW ou=AW ow=OW oa=OW "
    "oi=OY oy=OY au=AO aw=AO ai=EY ay=EY ue=UW ew=UW er=ER ir=ER ur=ER ar=AA+R or=AO+R bb=B cc=K dd=D ff=F gg=G "
    "ll=L mm=M nn=N pp=P rr=R ss=S tt=T zz=Z ce=S ci=S+IH cy=S+IY ge=JH gi=JH+IH a=AE b=B c=K d=D e=EH f=F g=G "
    "h=HH i=IH j=JH k=K l=L m=M n=N o=AA p=P q=K r=R s=S t=T u=AH v=V w=W x=K+S y=IY z=Z"
)
"""The usual phones of English letters, and of those that belong together."""

_FINAL_E: Final = re.compile(r"(?<=[a-z][^aeiouy])e$")


def is_latin(word: str) -> bool:
    """Whether all letters of a word are Latin ones, with accents or without."""
    return all(name(letter, "").startswith("LATIN") for letter in filter(str.isalpha, word))


def from_ipa(ipa: str) -> str:
    """Phones from IPA.

    Args:
        ipa: a word, with marks of stress and length or without.

    Returns:
        Phones separated by spaces; empty if no letter is known.
    """
    return " ".join(_longest(normalize("NFD", ipa).replace("c\u0327", "ç"), _IPA))


def from_letters(word: str) -> str:
    """Phones from English spelling.

    Args:
        word: a word in Latin letters; accents are ignored.

    Returns:
        Phones separated by spaces; empty if there is no Latin letter.
    """
    plain = "".join(filter(str.isascii, normalize("NFKD", word).lower()))
    return " ".join(_longest(_FINAL_E.sub("", plain), _LETTERS))


def _longest(text: str, table: Mapping[str, str]) -> Iterator[str]:
    """The values of the longest keys that a text consists of, from its start; other characters have none."""
    most = max(map(len, table))
    at = 0
    while at < len(text):
        for length in range(most, 0, -1):
            if text[at : at + length] in table:
                yield table[text[at : at + length]]
                at += length - 1
                break
        at += 1
