"""Texts in many languages and notations, as they are written and as they are spoken."""

from __future__ import annotations

from typing import Final, NamedTuple


class Part(NamedTuple):
    """A piece of a text, and the words that a synthesizer makes of it."""

    written: str
    spoken: tuple[str, ...]


def parts(text: str) -> tuple[Part, ...]:
    """Pieces that are separated by ``|``; one that is spoken otherwise is ``written=spoken words``."""
    pieces = []
    for piece in text.split("|"):
        written, _, spoken = piece.rpartition("=") if "=" in piece else (piece, "", piece)
        pieces.append(Part(written, tuple(spoken.split()) if spoken.strip() else ()))
    return tuple(pieces)


TEXTS: Final = {
    "plain": parts("Your| table| is| booked| for| eight."),
    "amount": parts("The| total| is| $42.=forty two dollars"),
    "amounts": parts(
        "It| costs| €1,250.50=one thousand two hundred and fifty euros fifty| and| not| 3.99.=three ninety nine"
    ),
    "date": parts("See| you| on| 3/4=March fourth| at| noon."),
    "time": parts("The| train| leaves| at| 10:30=ten thirty| p.m.,=p m| platform| 7.=seven"),
    "phone": parts("Call| +1 (555) 010-2030=one five five five zero one zero two zero three zero| now."),
    "url": parts("Go| to| https://www.example.com=h t t p s w w w dot example dot com|/a=slash a| today."),
    "mail": parts("Write| to| jane.doe@example.org=jane dot doe at example dot org| please."),
    "emoji": parts("Great| 🎉=| see| you| 🙂="),
    "markdown": parts("**Note:**=Note| use| `pip`=pip| and| *smile*.=smile"),
    "ssml": parts("<speak>=|Hello| <break time='1s'/>=| dear| friend.|</speak>="),
    "abbreviations": parts("Dr.=Doctor| Lee| lives| in| St.=Saint| Mary's| St.=Street| no.=number| 5.=five"),
    "repeats": parts("No,| no,| no.| I| said| no| to| 105=one hundred and five| cats| and| dogs."),
    "hyphens": parts("A| state-of-the-art=state of the art| e-mail=email| system."),
    "apostrophes": parts("I| don’t=don't| know| what’s=what's| O'Neill| wants."),
    "german": parts("Grüß| Gott,| die| Straße| ist| 3,5=drei Komma fünf| Kilometer| lang.| Tschüss!"),
    "french": parts("L’addition=L'addition| est| de| 80=quatre vingts| €=euros| s’il=s'il| vous| plaît,| Noël."),
    "spanish": parts("¿Cuánto=Cuánto| cuesta?| Son| 15=quince| euros,| señor.| ¡Adiós!=Adiós"),
    "hindi": parts("नमस्ते,=नमस्ते| आपकी| मेज़| ८=आठ| बजे| के| लिए| तैयार| है।=है"),
    "vietnamese": parts("Tôi| có| thể| giúp| gì| cho| bạn| hôm| nay| không?"),
    "arabic": parts("مرحبا،=مرحبا| كَيْفَ=كيف| حالُك=حالك| اليوم؟=اليوم"),
    "hebrew": parts("שלום,=שלום| מה| שלומך| היום?"),
    "russian": parts("Здравствуйте,| ваш| счёт| —=| 42=сорок два| рубля."),
    "greek": parts("Καλημέρα,| ΠΏΣ=πώς| είστε;=είστε"),
    "turkish": parts("İstanbul'da=İstanbul'da| 3=üç| gün| ISI=ısı| yüksek."),
    "japanese": parts("こんにちは、=こ ん に ち は|お=お|元=元|気=気|で=で|す=す|か。=か"),
    "chinese": parts("你好=你 好|，=|我=我|有=有|15=十 五|个=个|苹果。=苹 果"),
    "thai": parts("สวัสดี=ส วั ส ดี|ครับ=ค รั บ| 5=ห้ า| โมง=โ ม ง"),
    "korean": parts("안녕하세요,| 오늘| 날씨가| 좋습니다."),
    "mixed scripts": parts("Привет,| John,| 你=你|好=好| and| مرحبا."),
    "full width": parts("Ｃａｌｌ=call| ①=one| ½=half| ﬁne=fine."),
}
"""By name."""
