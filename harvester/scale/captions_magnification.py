"""Magnifications in the words of a caption, told from everything else that has an x and a number."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from harvester.scale.captions_text import Prepared

# ×4O and ×1OO are typing mistakes; "100,200" is a list, "15,000" a number
NUMBER = r"(?:\d{1,2},\d{3}|\d{1,3}[ ,]000|[1-9][\dOo]{0,5}(?:\.\d{1,2})?|0\.\d)(?![\dOo])"
_SIGN_FIRST = re.compile(rf"(?P<x>[×xX*])\s?(?P<n>{NUMBER})")
_SIGN_LAST = re.compile(rf"(?<![\w.,])(?P<n>{NUMBER})\s?(?P<x>[×xX])(?![\w×])(?!-[A-Za-z])")
_NAMED = re.compile(
    r"(?:\bmagnifications?|\bmagnified|\bmagn?\.|\bobjectives?(?:\s+lens(?:es)?)?)\s?(?:\(|:|=|,)?\s?(?:power |"
    r"factor )?"
    rf"(?:of |was |were |is |are |at |by |= ?)?(?P<n>{NUMBER})(?!\s?[×xX]|\.\d)",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    rf"(?<![\w.,])(?P<n>{NUMBER})(?:[- ]?(?:fold|times|diameters)\b(?:\s+(?:original\s+)?(?P<w>magnif\w*|enlarg\w*))?"
    r"|[- ](?P<m>magnification)\b)",
    re.IGNORECASE,
)
_DEGREE = r"(?:very |relatively )?(?P<d>lowest|lower|low|medium|middle|intermediate|moderate|highest|higher|high)"
_WORDS = re.compile(rf"\b{_DEGREE}[- ]?(?P<what>powered|power|magnifications?|magnified|mag\b)", re.IGNORECASE)
_WORDS_FIRST = re.compile(
    rf"\b{_DEGREE}-?\s?(?:and|to|or|&|,|/)(?=\s?(?:low|medium|intermediate|high)\w*[- ]?(?:power|magnif|mag\b))",
    re.IGNORECASE,
)
_COUNTING = re.compile(
    r"(?:\bper|/|\b(?:in|of|from)(?: the)?|\b\d+|\bten|\bfive|\brandom\w*|\bcount\w*|\bnumber of)\s?(?:\d+ |ten |"
    r"five )?$",
    re.IGNORECASE,
)
_NO_POWER = re.compile(
    r"\s?(?:fields? (?:were|was|per)|to detect|of the (?:study|test)|laser|density|law)", re.IGNORECASE
)
_HPF = re.compile(r"[(,;]\s?(?P<t>HPF|LPF)(?=\s?[),;.])")

_MICROSCOPE_X = frozenset(
    (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8, 10, 12.5, 16, 20, 25, 32, 40, 50, 60, 63, 80, 100, 125, 150, 160,
     200, 240, 250, 300, 312.5, 320, 360, 380, 400, 450, 480, 500, 600, 630, 640, 660, 750, 787.5, 800, 900, 945, 950,
     960, 1000, 1200, 1250, 1260, 1500, 1600)
)  # fmt: skip
_CONTEXT = re.compile(
    r"magnif|\bmag\b|objective|microscop|micrograph|\bpower\b|\boil\b|immers|\blens|\bHa+E\b|\bHE\b|\bHPS|ha?ematox|eosin"
    r"|stain|\bPAS\b|trichrome|giemsa|histolog|histopath|\bimmuno|\bIHC\b|\bCK ?\d|\bCD ?\d|ki-?67|original|"
    r"\bsections?\b"
    r"|biops|reticulin|silver|\bpap\b|papanicol|toluidine|sirius|gieson|masson|alcian|congo|nissl|photo|cytolog|\bbars?\b",
    re.IGNORECASE,
)
_ELECTRON = re.compile(r"electron|\bTEM\b|\bSEM\b|\bEM\b|ultrastruct", re.IGNORECASE)
_NAMES_SCALE = re.compile(r"magnif|\bmag\b|objective|\bpower\b|\boil\b|immers|\blens|\boriginal", re.IGNORECASE)
_NO_UNIT = (
    r"\s?(?:[\^⁰¹²³⁴⁵⁶⁷⁸⁹%°‰]|\(\d|[×xX]\s?\d|(?:mm|cm|µ\w?|um|nm|km|kg|mg|ng|ml|µl|dl|kda|bp|kb|hz|rpm|mw|mol|pfu|cfu|"
    r"moi|m|g|h|s|l|min|sec|hours?|days?|weeks?|months?|years?|cells|cm2|mm2|pixels?|px|dpi|v|kv)(?![A-Za-z]))"
)
_BAD_AFTER = re.compile(_NO_UNIT, re.IGNORECASE)
_BAD_WORD = re.compile(
    r"[\s-]{0,2}(?:concentrat|buffer|ssc\b|sspe|pbs\b|tbs|tbe\b|tae\b|sds|master|mix|loading|stock|solution|daily|per\b|"
    r"a (?:day|week)|weekly|twice|(?:higher|lower|greater|larger|smaller|faster|bigger|more|less)\b(?! (?:magnif|"
    r"power))|"
    r"increas|decreas|dilut|mic\b|ic50|coverage|depth|sequenc|genom|visium|chromium|cells\b|medium\b(?! power)|"
    r"volume|speed|"
    r"zoom|enrich|over\b|excess|protease|inhibitor|lysis|wash|cycles?\b|reads?\b|tg\b|flag|gene|repeat|copies|g\b|loss|"
    r"pcr|qpcr|primer|taq|b27|n2\b|glutam|penicil|trypsin|the (?:size|volume|length|dose|normal|upper))",
    re.IGNORECASE,
)
_BAD_BEFORE = re.compile(
    r"(?:\breproduced(?: at)?|\bzoom(?:ed)?(?: factor| of| =| in)?|\beyepieces?(?: of)?|\boculars?(?: of)?|"
    r"\b[npkrt]\s?[=<>≤≥]|"
    r"\bp\s?[<=>]\s?[\d.]+|"
    r"\bfig(?:ure)?s?\.?|\btables?|\bday|\bweek|\bpassage|\bgrade|\bstage|\blane|\bcentrifug\w*(?: at)?|"
    r"\bdilut\w*|\bn ?=|"
    r"\bcycles?|\breads?|\bgenotype|\bstep|\bstack|\bz)\s?[,(:]?\s?$",
    re.IGNORECASE,
)
_EYEPIECE = re.compile(r"\s?-?(?:eyepieces?|oculars?)\b", re.IGNORECASE)
_NAME_LEFT = re.compile(
    r"(?:(?:original|total|final|objective|reduced from|optical|initial|same)\s)*(?:\bmagnifications?|\bmagnified|"
    r"\bmag\.?|"
    r"\bobjectives?(?: lens(?:es)?)?|\bpower)\s?[,:=(]?\s?(?:of |at |was |were |is |are |by |= ?)?$|\b(?:original|"
    r"objective)\s?[,:]?\s?$",
    re.IGNORECASE,
)
_DEGREE_LEFT = re.compile(r"\b(?:low|medium|middle|intermediate|moderate|high)(?:er|est)?[- ]?$", re.IGNORECASE)
_NAME_RIGHT = re.compile(
    r"\s?(?:/\s?[01]\.\d{1,2}(?: ?NA\b)?|[,;]? ?NA\s?=?\s?[01]\.\d{1,2})?(?:[ -]?\(?(?:oil(?: immersion)?|"
    r"water immersion|immersion)\)?)?"
    r"(?:[ -](?:original |total |final )?(?:magnifications?|objectives?(?: lens(?:es)?)?|lens(?:es)?|power)\b)?",
    re.IGNORECASE,
)
_JOINED_AFTER = re.compile(
    rf"\s?(?P<j>,\s?and|,\s?or|,|;|and|&|or|/|-|to)\s?(?P<n>{NUMBER})(?!\s?[×xX\w%°µ.]|[-/]\w|\.\d)"
)
_JOINED_END = re.compile(r"\s?(?:$|[),;.\]]|respectively|magnif|objective|original)")
_JOINED_BEFORE = re.compile(
    rf"(?:^|[(,:;=]|\bat|\bof|\bwith|\bmagnifications?|\bobjectives?|\bby|\bare|\bwere|\bwas|\bis|\bfrom|\bbetween)\s?"
    rf"(?P<n>{NUMBER})\s?(?:,\s?and|and|&|or|-|to|,|/)\s?$",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s?(?:-|to|up to|through)\s?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FoundMagnification:
    """A magnification in a prepared caption.

    Attributes:
        start, stop: The words it was read from, with "original magnification" and the like.
        stated_x: The number, None for words such as "high power".
        stated_to_x: The other end of a range.
        degree: low, medium or high for words.
    """

    start: int
    stop: int
    stated_x: float | None
    stated_to_x: float | None = None
    degree: Literal["low", "medium", "high"] | None = None


def find_magnifications(said: Prepared) -> list[FoundMagnification]:
    """Find every stated magnification, in the order of the caption; spans never overlap."""
    found: list[FoundMagnification] = []
    for pattern, accepted in (
        (_SIGN_FIRST, _accept_sign_first),
        (_SIGN_LAST, _accept_sign_last),
        (_NAMED, _accept_named),
        (_COUNTED, _accept_counted),
    ):
        for match in pattern.finditer(said.flat):
            if accepted(said, match):
                start = match.start("n") if pattern is _NAMED else match.start()
                found.append(FoundMagnification(start, match.end(), number(match["n"])))
    found += _products(said)
    found = _without_overlaps(found)
    for one in tuple(found):
        found += _joined(said, one)
    found = _merge_ranges(said.flat, _without_overlaps(found))
    found = [_with_names(said, one) for one in found]
    return _without_overlaps([*found, *_in_words(said)])


def number(printed: str) -> float:
    """Return the value of a number as captions print it: 1,000 and 1 000 and 4O."""
    return float(printed.replace(",", "").replace(" ", "").replace("O", "0").replace("o", "0"))


def _without_overlaps(found: list[FoundMagnification]) -> list[FoundMagnification]:
    kept: list[FoundMagnification] = []
    for one in sorted(found, key=lambda f: (f.start, -f.stop)):
        if not kept or one.start >= kept[-1].stop:
            kept.append(one)
    return kept


def _around(said: Prepared, start: int, stop: int, before: int, after: int) -> str:
    low, high = said.sentence(start)
    return said.flat[max(low, start - before) : start] + " | " + said.flat[stop : min(high, stop + after)]


def _fits(said: Prepared, start: int, stop: int, x: float) -> bool:
    """Whether what stands round a number with an x makes it a magnification."""
    flat = said.flat
    if _BAD_AFTER.match(flat, stop) or _BAD_WORD.match(flat, stop) or _EYEPIECE.match(flat, stop):
        return False
    if _BAD_BEFORE.search(flat[max(0, start - 24) : start]):
        return False
    if not 0.5 <= x <= 500_000:
        return False
    if _NAMES_SCALE.search(_around(said, start, stop, 30, 25)):
        return True
    if x >= 2000 and _ELECTRON.search(_around(said, start, stop, 70, 30)):
        return True
    if x not in _MICROSCOPE_X:
        return False
    if flat[start] == "×" and x >= 20:
        return True
    before, after = flat[:start].rstrip()[-1:], flat[stop:].lstrip()
    opens, closes = before in ("", "(", "[", ",", ";", ":", "."), not after or after[0] in "),;.]:("
    alone = opens and (closes or after.startswith("and "))
    if alone and flat[start] == "×" and after[:1] == ")" and x >= 4:
        return True
    if alone and (before in ("(", "[") or x >= 20):
        return True
    # a stain may end the sentence before: "Stained with H&E. X 40"
    return bool(_CONTEXT.search(_around(said, start, stop, 70, 30)) or _CONTEXT.search(flat, max(0, start - 12), start))


def _accept_sign_first(said: Prepared, match: re.Match[str]) -> bool:
    flat, start = said.flat, match.start()
    before = flat[max(0, start - 12) : start]
    if match["x"] == "*" and not _NAMES_SCALE.search(before):
        return False
    if (
        match["x"] in "xX"
        and re.search(r"[A-Za-z0-9]$", before)
        and not re.search(r"(?:\bHa+E|\bHE|\bPAS|\bIHC)$", before)
    ):
        return False
    # "20 × 15 mm", "(3) × 4"; but "CK7 ×100" names a stain
    if re.search(r"(?:^|[^A-Za-z\d-])[\d.]*\d\)?\s?$|\d\s?(?:mm|cm|µm|um|nm|m)\s?$|[+−=]\s?$", before):
        return bool(re.search(r"magnif\w*\s?=\s?$", before))
    if re.match(r"[A-Za-z]", flat[match.end() : match.end() + 1]):
        return False
    return _fits(said, start, match.end(), number(match["n"]))


def _accept_sign_last(said: Prepared, match: re.Match[str]) -> bool:
    flat, stop = said.flat, match.end()
    if re.match(r"\s?[\d(]?\d", flat[stop : stop + 3]) or re.search(r"[×xX]\s?$", flat[: match.start()][-3:]):
        return False
    return _fits(said, match.start(), stop, number(match["n"]))


def _accept_named(said: Prepared, match: re.Match[str]) -> bool:
    flat, stop = said.flat, match.end()
    if _BAD_AFTER.match(flat, stop) or (
        re.match(r"\s?[A-Za-z]|-[A-Za-z]", flat[stop : stop + 2]) is not None
        and not re.match(
            r"\s?(?:\b(?:and|or|to|in|for|respectively|times|magnif|oil|with|diameters|fold)\b|-fold)",
            flat[stop : stop + 16],
        )
    ):
        return False
    return 1.0 <= number(match["n"]) <= 500_000


def _accept_counted(said: Prepared, match: re.Match[str]) -> bool:
    if match["w"] or match["m"]:
        return True
    near = _around(said, match.start(), match.end(), 40, 0)
    if re.search(r"\bmagnifi\w*\W", near, re.IGNORECASE):
        return True
    x = number(match["n"])
    inside = re.search(r"\([^()]*\b(?:Ha+E|HE|stain\w*|eosin|PAS)\b[^()]*\|", near, re.IGNORECASE)
    return bool(inside) and x in _MICROSCOPE_X and said.flat[match.end() : match.end() + 1] in (")", ",", ";")


_PRODUCT = re.compile(rf"(?<![\w.,×])(?P<a>{NUMBER})\s?[×xX]\s?(?P<b>{NUMBER})(?!\s?[×xX\w%°µ])")


def _products(said: Prepared) -> list[FoundMagnification]:
    """Return "magnification 10 × 40": eyepiece times objective, or the other way round."""
    found = []
    for match in _PRODUCT.finditer(said.flat):
        a, b = number(match["a"]), number(match["b"])
        named = re.search(
            r"magnif|objective|microscop", _around(said, match.start(), match.end(), 30, 20), re.IGNORECASE
        )
        if named and 10.0 in (a, b) and a * b <= 1000 and {a, b} <= {4.0, 10.0, 20.0, 40.0, 60.0, 63.0, 100.0}:
            found.append(FoundMagnification(match.start(), match.end(), a * b))
    return found


def _joined(said: Prepared, one: FoundMagnification) -> list[FoundMagnification]:
    """Return numbers that share the sign of a neighbour: "×100, 200 and 400", "100 and 400×"."""
    flat, more = said.flat, []
    stop = one.stop
    for _ in range(8):
        match = _JOINED_AFTER.match(flat, stop)
        if not match or number(match["n"]) not in _MICROSCOPE_X or number(match["n"]) < 4:
            break
        rest = flat[match.end() : match.end() + 14]
        if not _JOINED_END.match(rest) and not _JOINED_AFTER.match(flat, match.end()):
            break
        more.append(FoundMagnification(match.start("n"), match.end(), number(match["n"])))
        stop = match.end()
    start = one.start
    if flat[one.stop - 1 : one.stop] in ("×", "x", "X"):
        for _ in range(8):
            before = _JOINED_BEFORE.search(flat[max(0, start - 60) : start])
            if not before or number(before["n"]) not in _MICROSCOPE_X or number(before["n"]) < 2:
                break
            shift = max(0, start - 60)
            start = shift + before.start("n")
            more.append(FoundMagnification(start, shift + before.end("n"), number(before["n"])))
    return more


def _merge_ranges(flat: str, found: list[FoundMagnification]) -> list[FoundMagnification]:
    merged: list[FoundMagnification] = []
    for one in found:
        if merged:
            last = merged[-1]
            gap = flat[last.stop : one.start]
            between = gap.strip() == "and" and re.search(r"\bbetween\s?$", flat[: last.start][-9:])
            grows = last.stated_x and one.stated_x and last.stated_x < one.stated_x and last.stated_to_x is None
            if grows and (_RANGE.fullmatch(gap) or between):
                merged[-1] = replace(last, stop=one.stop, stated_to_x=one.stated_x)
                continue
        merged.append(one)
    return merged


def _with_names(said: Prepared, one: FoundMagnification) -> FoundMagnification:
    left = _NAME_LEFT.search(said.flat[max(0, one.start - 48) : one.start])
    right = _NAME_RIGHT.match(said.flat, one.stop)
    shift = max(0, one.start - 48)
    # "high magnification (×400)" says two things
    if left and _DEGREE_LEFT.search(said.flat[max(0, shift + left.start() - 14) : shift + left.start()]):
        left = None
    return replace(one, start=shift + left.start() if left else one.start, stop=right.end() if right else one.stop)


def _in_words(said: Prepared) -> list[FoundMagnification]:
    found = []
    for pattern in (_WORDS, _WORDS_FIRST):
        for match in pattern.finditer(said.flat):
            what = match["what"].lower() if pattern is _WORDS else "magnification"
            before = said.flat[max(0, match.start() - 24) : match.start()]
            if what.startswith("power") and (
                _NO_POWER.match(said.flat, match.end())
                or (re.match(r"[- ]fields?\b", said.flat[match.end() : match.end() + 7]) and _COUNTING.search(before))
            ):
                continue
            stop = match.end() if pattern is _WORDS else match.end("d")
            found.append(FoundMagnification(match.start(), stop, None, degree=_degree(match["d"])))
    for match in _HPF.finditer(said.flat):
        degree: Literal["low", "high"] = "high" if match["t"] == "HPF" else "low"
        found.append(FoundMagnification(match.start("t"), match.end("t"), None, degree=degree))
    return found


def _degree(word: str) -> Literal["low", "medium", "high"]:
    word = word.lower()
    return "low" if word.startswith("low") else "high" if word.startswith("high") else "medium"
