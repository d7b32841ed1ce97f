"""Species in the words round a picture."""

from __future__ import annotations

import re

SPECIES: tuple[tuple[str, str], ...] = (
    (
        "Homo sapiens",
        r"humans?|homo sapiens|patients?|wom[ae]n|men|man|boys?|girls?|child(?:ren)?|infants?|year[- ]old|cadavers?",
    ),
    ("Mus musculus", r"mouse|mice|murine|mus musculus|c57bl\w*(?:/\w+)?|balb/?c|nod[/ -]scid|icr|cd-1"),
    ("Rattus norvegicus", r"rats?|rattus norvegicus|sprague[- ]dawley|wistar|long[- ]evans|lewis rats?"),
    ("Oryctolagus cuniculus", r"rabbits?|oryctolagus cuniculus|lapine"),
    ("Canis lupus familiaris", r"dogs?|canine|beagles?|canis familiaris"),
    ("Felis catus", r"cats?|feline|felis catus"),
    ("Sus scrofa", r"pigs?|piglets?|porcine|swine|minipigs?|sus scrofa|boars?|sows?"),
    ("Bos taurus", r"cows?|cattle|bovine|calf|calves|bos taurus|heifers?"),
    ("Ovis aries", r"sheep|ovine|lambs?|ewes?|ovis aries"),
    ("Capra hircus", r"goats?|caprine|capra hircus"),
    ("Equus caballus", r"horses?|equine|foals?|equus caballus"),
    ("Gallus gallus", r"chickens?|chicks?|broilers?|hens?|gallus gallus"),
    ("Danio rerio", r"zebrafish|danio rerio"),
    ("Macaca mulatta", r"rhesus(?: monkeys?| macaques?)?|macaca mulatta"),
    ("Macaca fascicularis", r"cynomolgus(?: monkeys?| macaques?)?|macaca fascicularis"),
    ("Mesocricetus auratus", r"(?:golden |syrian )hamsters?|mesocricetus auratus"),
    ("Cavia porcellus", r"guinea[- ]pigs?|cavia porcellus"),
    ("Mustela putorius furo", r"ferrets?"),
    ("Xenopus laevis", r"xenopus(?: laevis)?"),
    ("Drosophila melanogaster", r"drosophila(?: melanogaster)?|flies|fruit fly"),
    ("Caenorhabditis elegans", r"c\. elegans|caenorhabditis elegans"),
    ("Oreochromis niloticus", r"oreochromis niloticus|nile tilapia"),
    ("Oncorhynchus mykiss", r"oncorhynchus mykiss|rainbow trouts?"),
    ("Cyprinus carpio", r"cyprinus carpio|common carps?"),
)
"""Scientific names and the words that stand for them; the longer word wins where two begin at one place."""

_ANY = re.compile(
    r"(?<!anti-)(?<!anti )(?<![\w-])(?:"
    + "|".join(rf"(?P<s{k}>{words})" for k, (_, words) in reversed(list(enumerate(SPECIES))))
    + r")(?![\w])(?![- ]?(?:anti\w*|monoclonal|polyclonal|sera?\b|serum|antibod\w*|igg|albumin|papilloma\w*|herpes\w*|"
    r"immunodef\w*|chorionic gonad|genes?\b|genome))",
    re.IGNORECASE,
)
_CLINICAL = re.compile(
    r"\bcase reports?\b|\bcase presentation|\bpostoperative|\bpreoperative|\bcomputed tomograph|\bCT[- ]scans?\b|"
    r"\bMRI\b|\bPET\b|"
    r"\blaparoscop|\bangiogra(?:m|phic)|\bintraoral|\bchest CT\b|\bfine needle aspiration\b",
    re.IGNORECASE,
)
_ANIMAL = re.compile(
    r"\banimals?\b|\bveterinar|\bin vivo model|\bxenograft|\bknock-?out|\btransgenic|\bzoo\b|\bwild-?type\b",
    re.IGNORECASE,
)
_GRAFT = re.compile(
    r"xenograft|\bxenotransplant|\bnude (?:mice|mouse|rats?)\b|\b(?:nod[/ -])?scid\b|\bPDX\b", re.IGNORECASE
)

_SPINELESS = {"Drosophila melanogaster", "Caenorhabditis elegans"}
_INVERTEBRATE = re.compile(
    r"\bdrosophila\b|\bflies\b|\bC\. elegans\b|\bnematodes?\b|\bmosquito\w*|\binsects?\b|\blarva(?:e|l)?\b|"
    r"\bmolluscs?\b|\bmussels?\b|\boysters?\b|\bsnails?\b|\bcrabs?\b|\bshrimps?\b|\bhoney ?bees?\b|\bsea urchins?\b",
    re.IGNORECASE,
)


def species_in(words: str) -> tuple[str, ...]:
    """Return the species that are named, each once; those of antibodies and sera left out."""
    found = [SPECIES[int(m.lastgroup[1:])][0] for m in _ANY.finditer(words) if m.lastgroup]
    return tuple(dict.fromkeys(found))


def is_graft(words: str) -> bool:
    """Whether tissue of one species grows in another here."""
    return bool(_GRAFT.search(words))


def is_invertebrate(words: str) -> bool:
    """Whether only animals without the organs of the list are spoken of: a fly's heart is none of them."""
    return bool(_INVERTEBRATE.search(words)) and not set(species_in(words)) - _SPINELESS


def is_clinical(words: str) -> bool:
    """Whether only people are cared for in such words, and no animal is spoken of."""
    return bool(_CLINICAL.search(words)) and not _ANIMAL.search(words)
