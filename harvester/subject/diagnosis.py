"""Diagnoses as the words round a picture print them."""

from __future__ import annotations

import re

_HEAD = re.compile(
    r"\b(?:(?!stroma\b|soma\b|coma\b|aroma\b|genoma|trauma|haematoma|hematoma|chroma|diploma|axoloma)[a-z]{3,}omas?\b"
    r"|(?:tumou?rs?|cancers?|neoplasms?|malignanc(?:y|ies)|cysts?|dysplasia|hyperplasia|cirrhosis|amyloidosis|endometriosis|"
    r"tuberculosis|sarcoidosis|leuka?emias?|lymphomatous infiltration|\w+dystrophy|\w+ dystrophy|cardiomyopathy|"
    r"nephropathy|"
    r"metasta(?:sis|ses)|\w{4,}itis|rice bodies|steatosis|SCC)\b)",
    re.IGNORECASE,
)
_STOP_WORDS = (
    "the a an of with in on and or from to for by at as is are was were be been being has have had that this "
    "these those showing show shows showed shown revealed reveals reveal depicting demonstrating demonstrated "
    "consistent between conventional representative typical image images photograph micrograph photomicrograph "
    "histology histological histopathology histopathological section sections biopsy biopsies stain stained "
    "staining normal control surrounding confirmed panel figure no not non without excludes patient patients case "
    "cases treated mice rats mouse rat model main mass part tissue tissues around within through into its their "
    "our which borderline-like large small both human dense large subcutaneous enhanced scattered individual "
    "atypical infiltrant purely rare definitive final diagnosis appearance features cells after before "
    "during under view evidence mri ct pet scan angiographic incidental finding presentation recurrence residual "
    "primary-like report resection specimen"
)
_STOP = frozenset(_STOP_WORDS.split())
_NEGATED = re.compile(
    r"\b(?:no|without|excludes?|excluded|negative for|absence of|free of|not|rule out|non)\s+(?:\w+\s+){0,3}$",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"\s+(?:of (?:the )?(?:low|uncertain|borderline) malignant potential|of (?:the )?[a-z]+(?: [a-z]+)?(?=[.,;)]|$)|"
    r"(?:with|and) invasive carcinoma|infected with [A-Z][a-z]+ [a-z]+)",
    re.IGNORECASE,
)
_CELLS = re.compile(r"\s+(?:cells?|cell lines?|markers?|growth|models?)\b", re.IGNORECASE)
_HEALTHY = re.compile(r"\b(?:normal|healthy|control|unaffected|non-?neoplastic)\b", re.IGNORECASE)


def diagnosis_in(words: str) -> str | None:
    """Return the first diagnosis verbatim with its adjectives; None where it is denied or only cells are meant."""
    for match in _HEAD.finditer(words):
        if _NEGATED.search(words[max(0, match.start() - 60) : match.start()]) or _CELLS.match(words, match.end()):
            continue
        before = re.findall(r"[^\s]+", words[max(0, match.start() - 90) : match.start()])
        start = match.start()
        for word in reversed(before[-6:]):
            if not re.fullmatch(r"[A-Za-z][\w-]*", word) or word.lower() in _STOP:
                break
            start = words.rindex(word, 0, start)
        tail = _TAIL.match(words, match.end())
        text = words[start : tail.end() if tail else match.end()]
        # "tumour" and "lesion" alone name nothing
        if re.fullmatch(
            r"(?:tumou?rs?|cysts?|cancers?|neoplasms?|malignanc(?:y|ies)|metasta(?:sis|ses))", text, re.IGNORECASE
        ):
            continue
        return text
    return None


def is_healthy(words: str) -> bool:
    """Whether the words speak of normal tissue or a control."""
    return bool(_HEALTHY.search(words))
