"""Organ, species and diagnosis of a panel, each with its source and score; None beats a guess."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harvester.letters import MAX_CHARS, split_caption
from harvester.records import SubjectReading
from harvester.subject.diagnosis import diagnosis_in, is_healthy
from harvester.subject.organs import BY_NAME, NOT_THE_ORGAN, ORGANS, WORDS, chain
from harvester.subject.species import is_clinical, is_graft, is_invertebrate, species_in

SCORES = {"panel": 0.97, "caption": 0.92, "whole caption": 0.9, "title": 0.85, "mesh": 0.7}
"""How sure an answer from each source is, before anything else is known."""
CLINICAL_SCORE = 0.8

_SOURCES = {"panel": "panel", "caption": "caption", "whole caption": "caption", "title": "title", "mesh": "mesh"}

_NO_PICTURE = re.compile(
    r"\b\w{1,30} analys[ei]s of (?:the )?(?:percent\w*|numbers?|levels?|rates?|areas?|thickness)\b|"
    r"\b(?:surviv\w+|curves?|plots?|graphs?|histograms?|quantifi\w+|flow cytometr\w+|western|immunoblot\w*|blots?|"
    r"PCR|gels?\b|"
    r"electrophoresis|chromatograms?|scores?|scoring|genom\w+|phylogen\w+|schem\w+|diagrams?|workflow|"
    r"flow ?charts?|charts?|"
    r"consumption|levels?|percent(?:ages?)?|numbers?|density analysis|correlat\w+|mRNA|ELISA|heights?|fraction|"
    r"significan\w+|"
    r"distribution|population structure|frequency|comparison|properties|MTT|spectr\w+|experimental design|"
    r"body weight|mechanism)\b",
    re.IGNORECASE,
)
_PICTURE = re.compile(
    r"\b(?:histolog\w*|histopatholog\w*|patholog\w*|stain\w*|sections?|H ?& ?E|HE|ha?ematoxylin|biops\w+|microscop\w*|"
    r"\w*micrographs?|images?|imaging|MRI|CT|PET|tomograph\w*|radiograph\w*|angiogra\w+|photograph\w*|gross|appearance|tissues?|specimens?|"
    r"smears?|lesions?|mass|immunohisto\w+|view|PAS|tumou?rs?|CK ?\d+|cysts?|nodules?|excised|necrosis)\b",
    re.IGNORECASE,
)
_CULTURE = re.compile(
    r"\bcell lines?\b|\bHEK\b|-293\b|\bHeLa\b|\bcultured\b|\bin vitro\b|\bmonolayers?\b|\battached to\b|"
    r"\bco-?cultur\w+|\bpassages?\b|"
    r"\borganoids?\b|\btransfected\b|\bcells were\b|\bincubated\b|\b(?:containing|culture) medium\b|\bMCF-?7\b|"
    r"\bA549\b|\bHepG2\b|\bCaco-?2\b",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"\b(?:(?:anterior|posterior|superior|inferior|lateral|medial|adjacent|next|close|extending|extension|"
    r"invasion|due) (?:in)?to|near|"
    r"behind|outside|beside|via|through|compared (?:with|to)|unlike|like|than|transpassing|invading|excludes?|"
    r"versus|vs\.?)"
    r"(?: the| a| normal)?\s*(?:\w+\s)?$",
    re.IGNORECASE,
)
_ORIGIN = re.compile(
    r"\bmetasta(?:sis|ses|tic)\b[^.;]{0,40}\b(?:of|from)\b(?: the| a| an| human| primary)?\s*(?:\w+\s)?$"
    r"|\bmetastatic (?:\w+ )?$|\b(?:originating|arising) from(?: the)?\s*$",
    re.IGNORECASE,
)
_SENT_ON = re.compile(
    r"[\w -]{0,40}\bmetasta(?:sis|ses|tic|sized)\b(?: lesions?| tumou?rs?)?\s(?:to|in|into|within|involving)\b",
    re.IGNORECASE,
)
_TAKEN_FROM = re.compile(
    r"\b(?:sections?|histolog\w*|histopatholog\w*|appearance|biops(?:y|ies)|images?|\w*micrographs?|architecture|stain\w*|specimens?|"
    r"tissues?)\b(?: \([^)]*\))? (?:of|from) (?:the |a |an |normal |control |rat |mouse |mice |human |whole |"
    r"representative )*$",
    re.IGNORECASE,
)
_LIST = re.compile(r"\s?(?:,\s?and|,|and|or|&)\s?(?:the )?")
_IS_TISSUE = re.compile(
    r"\s(?:core |needle |punch )?(?:tissues?|sections?|biops(?:y|ies)|samples?|specimens?|parenchyma|"
    r"metasta(?:sis|ses))\b",
    re.IGNORECASE,
)


def read_subject(
    panel_part: str, caption: str, title: str, mesh: Sequence[str], keywords: Sequence[str] = ()
) -> SubjectReading:
    """Say what a panel shows from the words around it, the nearest first.

    The organ is where the tissue was taken from ("liver metastasis of colon carcinoma": liver). Two organs or species
    at the same distance, cells in culture, grafts in another species, charts and gels leave it None.

    Args:
        panel_part: The panel's own part of the caption; the whole caption when it can't be split.
        caption: The whole caption of the figure.
        title: Title of the article.
        mesh, keywords: MeSH terms and the authors' keywords.

    Returns:
        Each answer with its score and source ("panel", "caption", "title"; "mesh" for keywords too).
    """
    panel_part, caption, title = (" ".join(t[:MAX_CHARS].split()) for t in (panel_part, caption, title))
    own, shared = _own_words(panel_part, caption)
    levels = {"panel": own, "caption": shared, "whole caption": caption, "title": title}
    # each term stands alone, so that no phrase runs across two of them
    terms = ". ".join([*mesh, *keywords])[:MAX_CHARS]
    organ, organ_source = _organ(own, levels, terms)
    species, species_source, species_score = _species(levels, terms)
    diagnosis, diagnosis_source = _diagnosis(own, levels)
    return SubjectReading(
        organ=organ,
        organ_id=BY_NAME[organ].uberon_id if organ else None,
        organ_source=_SOURCES.get(organ_source or ""),
        organ_score=SCORES[organ_source] if organ_source else None,
        species=species,
        species_source=_SOURCES.get(species_source or ""),
        species_score=species_score,
        diagnosis_text=diagnosis,
        diagnosis_source=_SOURCES.get(diagnosis_source or ""),
        diagnosis_score=SCORES[diagnosis_source] if diagnosis_source else None,
    )


def _own_words(panel_part: str, caption: str) -> tuple[str, str]:
    """Return what is said of this panel alone, and what the caption says of all."""
    parts = split_caption(caption)
    own = [words for labels, words in parts.pieces if labels and words in panel_part]
    if not own or panel_part == parts.text:
        return panel_part, caption
    shared = " ".join(words for labels, words in parts.pieces if not labels)
    return " ".join(own), shared


def shows_no_picture(words: str) -> bool:
    """Whether words speak of a chart, a gel or a drawing before they speak of anything that can be photographed."""
    chart, picture = _NO_PICTURE.search(words), _PICTURE.search(words)
    return chart is not None and (picture is None or chart.start() <= picture.start())


def organs_in(words: str) -> tuple[str, ...]:
    """Return the organs that tissue is taken from here, each once; parts stand for the whole they belong to.

    Left out: where a metastasis came from, what lies beside, what is only compared, names of molecules and cell lines.
    """
    found: dict[str, bool] = {}
    end, is_taken = 0, False
    for match in WORDS.finditer(words):
        if match.lastgroup is None or not NOT_THE_ORGAN.match(words, match.end()):
            continue
        name = ORGANS[int(match.lastgroup[1:])].name
        before = words[max(0, match.start() - 70) : match.start()]
        if _BESIDE.search(before) or _ORIGIN.search(before) or _SENT_ON.match(words, match.end()):
            continue
        # "sections of the pancreas, spleen and ovaries": what is said of the first is said of the list
        in_list = is_taken and _LIST.fullmatch(words, end, match.start()) is not None
        is_taken = in_list or bool(_TAKEN_FROM.search(before) or _IS_TISSUE.match(words, match.end()))
        end = match.end()
        found[name] = found.get(name, False) or is_taken
    if any(not BY_NAME[name].is_weak for name in found):
        found = {name: taken for name, taken in found.items() if not BY_NAME[name].is_weak}
    names = _smallest(found)
    taken = _smallest({name: True for name, is_taken in found.items() if is_taken})
    return taken if len(names) > 1 and len(taken) == 1 else names


def _smallest(names: dict[str, bool]) -> tuple[str, ...]:
    wholes = {whole for name in names for whole in chain(name)[1:]}
    return tuple(name for name in names if name not in wholes)


def _organ(own: str, levels: dict[str, str], terms: str) -> tuple[str | None, str | None]:
    whole = levels["whole caption"]
    if shows_no_picture(own) or _CULTURE.search(own) or is_graft(f"{own} {whole}"):
        return None, None
    if not _PICTURE.search(whole) or (shows_no_picture(levels["caption"]) and not _PICTURE.search(own)):
        return None, None  # nothing says that tissue is shown, or the preamble says that charts are
    if is_invertebrate(" ".join([*levels.values(), terms])):
        return None, None
    weak: tuple[str, str] | None = None
    if _CULTURE.search(levels["caption"]) and not _PICTURE.search(own):
        return None, None
    for source, words in (*levels.items(), ("mesh", terms)):
        if source in ("title", "mesh") and (not _PICTURE.search(whole) or is_graft(words) or _CULTURE.search(words)):
            continue
        names = organs_in(words)
        if len(names) > 1:
            break
        if names and BY_NAME[names[0]].is_weak:
            weak = weak or (names[0], source)
        elif names:
            return _finer(names[0], levels["whole caption"]), source
    return weak or (None, None)


def _finer(name: str, caption: str) -> str:
    """Return the part of an organ where the caption names just one: "intestine" under "rat duodenum"."""
    names = organs_in(caption)
    return names[0] if len(names) == 1 and name in chain(names[0]) else name


def _species(levels: dict[str, str], terms: str) -> tuple[str | None, str | None, float | None]:
    everything = " ".join([*levels.values(), terms])
    if is_graft(everything):
        return None, None, None
    for source, words in (*levels.items(), ("mesh", terms)):
        names = species_in(words)
        if len(names) == 1:
            return names[0], source, SCORES[source]
        if names:
            return None, None, None
    if is_clinical(everything):
        source = next(s for s, words in (*levels.items(), ("mesh", everything)) if is_clinical(words))
        return "Homo sapiens", source, CLINICAL_SCORE
    return None, None, None


def _diagnosis(own: str, levels: dict[str, str]) -> tuple[str | None, str | None]:
    if shows_no_picture(own):
        return None, None
    for source, words in levels.items():
        found = diagnosis_in(words)
        if found:
            return found, source
        if source == "panel" and is_healthy(words):
            return None, None
    return None, None
