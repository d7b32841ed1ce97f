"""The fixed list of organs and tissues, with their UBERON ids and the words that name them.

Source: Uberon, Mungall et al., Genome Biology 13:R5, 2012; ids as in the 2024 releases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Organ:
    """One entry of the list.

    Attributes:
        name, uberon_id: As stored ("kidney", "UBERON:0002113").
        words: Regular expression of the words that name it or stand for nothing else.
        part_of: Name of a larger organ of the list, or None.
        is_weak: It occurs inside other organs (vessels, nerves, fat), so any other organ outweighs it.
    """

    name: str
    uberon_id: str
    words: str
    part_of: str | None = None
    is_weak: bool = False


def _organ(name: str, number: int, words: str, part_of: str | None = None, *, weak: bool = False) -> Organ:
    return Organ(name, f"UBERON:{number:07d}", words, part_of, weak)


ORGANS: tuple[Organ, ...] = (
    _organ("adipose tissue", 1013, r"adipose tissues?|adipocytes?|fat pads?", weak=True),
    _organ("adrenal gland", 2369, r"adrenal(?: glands?| cort\w+| medull\w+)?|adrenals|adrenocortical"),
    _organ("anal canal", 159, r"anus|anal canal|anal mucosa"),
    _organ("aorta", 947, r"aortas?|aortic|aortae"),
    _organ("appendix", 1154, r"vermiform appendix|appendi(?:x|ces)|appendiceal"),
    _organ("artery", 1637, r"arter(?:y|ies)|arterial wall", weak=True),
    _organ("bile duct", 2394, r"bile ducts?|biliary|common bile|cholangiocytes?|cholangio\w+"),
    _organ("bone", 2481, r"bones?|bony|osseous|calvari\w+|femurs?|tibiae?|tibias?|vertebra\w*|mandibles?"),
    _organ("bone marrow", 2371, r"bone[- ]marrows?|marrow"),
    _organ("brain", 955, r"brains?|cerebral|cerebrum|intracranial|hippocamp\w+|glioblastoma\w*|gliomas?"),
    _organ("breast", 310, r"breasts?|mammary"),
    _organ("bronchus", 2185, r"bronch(?:us|i|ial)", "lung"),
    _organ("cartilage", 2418, r"(?:articular )?cartilages?|chondrocytes?"),
    _organ("cecum", 1153, r"ca?ecum|ca?ecal", "large intestine"),
    _organ("cerebellum", 2037, r"cerebell\w+|purkinje cells?", "brain"),
    _organ("cervix", 2, r"(?:uterine )?cervix|cervical (?:biops\w+|epitheli\w+|intraepithelial|smears?)", "uterus"),
    _organ("choroid plexus", 1886, r"choroid plexus", "brain"),
    _organ("colon", 1155, r"colons?|colonic|sigmoid colon", "large intestine"),
    _organ("conjunctiva", 1811, r"conjunctiva\w*", "eye"),
    _organ("cornea", 964, r"corneas?|corneal", "eye"),
    _organ("dorsal root ganglion", 44, r"dorsal root gangli\w+"),
    _organ("duodenum", 2114, r"duoden\w+", "small intestine"),
    _organ("endometrium", 1295, r"endometri(?:um|al)", "uterus"),
    _organ("epididymis", 1301, r"epididym\w+"),
    _organ("esophagus", 1043, r"o?esophag(?:us|eal)"),
    _organ("eye", 970, r"eyes?|ocular|intraocular|eyeballs?"),
    _organ("eyelid", 1711, r"eyelids?"),
    _organ("fallopian tube", 3889, r"fallopian tubes?|oviducts?"),
    _organ("gallbladder", 2110, r"gall ?bladders?"),
    _organ("gingiva", 1828, r"gingiva\w*", "oral mucosa"),
    _organ("heart", 948, r"hearts?|cardiac|myocardi\w+|cardiomyo\w+|(?:left|right) ventric\w+|atrial"),
    _organ("ileum", 2116, r"ile(?:um|al)", "small intestine"),
    _organ("intestine", 160, r"intestin(?:e|es|al)|bowels?"),
    _organ("jejunum", 2115, r"jejun(?:um|al)", "small intestine"),
    _organ("kidney", 2113, r"kidneys?|renal|glomerul(?:i|us|ar)|podocytes?|nephropath\w+"),
    _organ("large intestine", 59, r"large (?:intestin\w+|bowel)|colorectal|colorectum|rectosigmoid\w*", "intestine"),
    _organ("larynx", 1737, r"larynx|laryngeal|vocal (?:cord|fold)s?"),
    _organ("lip", 1833, r"lips?"),
    _organ("liver", 2107, r"livers?|hepatic|hepatocytes?|hepatocellular"),
    _organ("lung", 2048, r"lungs?|pulmonary|alveolar (?:septa\w*|walls?|spaces?|macrophages?)"),
    _organ("lymph node", 29, r"lymph[- ]?nodes?|nodal"),
    _organ("mediastinum", 3728, r"mediastin(?:um|al)"),
    _organ("meninges", 2360, r"mening(?:es|eal)|meningiomas?|dura mater"),
    _organ("mesentery", 2095, r"mesenter(?:y|ic)"),
    _organ("nasal cavity", 1707, r"nasal (?:cavity|mucosa|polyps?)|sinonasal"),
    _organ("nasopharynx", 1728, r"nasopharyn\w+"),
    _organ("nerve", 1021, r"nerves?", weak=True),
    _organ("omentum", 3688, r"oment(?:um|al)"),
    _organ("oral mucosa", 3729, r"oral mucosa|buccal|oral (?:cavity|epitheli\w+|squamous)|intraoral"),
    _organ("ovary", 992, r"ovar(?:y|ies|ian)"),
    _organ("pancreas", 1264, r"pancrea\w+"),
    _organ("parathyroid gland", 1132, r"parathyroids?(?: glands?)?"),
    _organ("parotid gland", 1831, r"parotids?(?: glands?)?", "salivary gland"),
    _organ("penis", 989, r"penis|penile"),
    _organ("pericardium", 2407, r"pericardi(?:um|al)"),
    _organ("peritoneum", 2358, r"peritone(?:um|al (?:tissues?|membranes?|biops\w+|nodul\w+|mesotheliom\w+))"),
    _organ("pituitary gland", 7, r"pituitary(?: glands?)?"),
    _organ("placenta", 1987, r"placentas?|placental|chorionic villi|placentae"),
    _organ("pleura", 977, r"pleura(?:l (?:tissues?|biops\w+|mesotheliom\w+|nodul\w+|membrane))?"),
    _organ("prostate", 2367, r"prostates?|prostatic"),
    _organ("rectum", 1052, r"rectum|rectal", "large intestine"),
    _organ("retina", 966, r"retinas?|retinal", "eye"),
    _organ("salivary gland", 1044, r"salivary(?: glands?)?"),
    _organ("seminal vesicle", 998, r"seminal vesicles?"),
    _organ("skeletal muscle", 1134, r"skeletal muscles?|gastrocnemius|quadriceps|tibialis anterior|soleus"),
    _organ("skin", 2097, r"skins?|dermis|dermal|epidermis|epidermal|cutaneous|keratinocytes?"),
    _organ("small intestine", 2108, r"small[- ](?:intestin\w+|bowel)", "intestine"),
    _organ("spinal cord", 2240, r"spinal cords?"),
    _organ("spleen", 2106, r"spleens?|splenic"),
    _organ("stomach", 945, r"stomachs?|gastric"),
    _organ("submandibular gland", 1736, r"submandibular(?: glands?)?", "salivary gland"),
    _organ("synovium", 2018, r"synovi(?:um|al)"),
    _organ("tendon", 43, r"(?:achilles )?tendons?|tendinous"),
    _organ("testis", 473, r"test(?:is|es)|testicular|testicles?|seminiferous"),
    _organ("thymus", 2370, r"thym(?:us|ic)|thymomas?"),
    _organ("thyroid gland", 2046, r"thyroids?(?: glands?)?"),
    _organ("tongue", 1723, r"tongues?"),
    _organ("tonsil", 2372, r"tonsil(?:s|lar)?"),
    _organ("tooth", 1091, r"tooth|teeth|dental pulp|dentin"),
    _organ("trachea", 3126, r"trachea\w*"),
    _organ("umbilical cord", 2331, r"umbilical cords?"),
    _organ("urachus", 2068, r"urach(?:us|al)"),
    _organ("ureter", 56, r"ureters?|ureteral|ureteric"),
    _organ("urethra", 57, r"urethras?|urethral"),
    _organ("urinary bladder", 1255, r"(?:urinary )?bladders?|urotheli(?:um|al)"),
    _organ("uterus", 995, r"uter(?:us|i|ine)|myometri(?:um|al)|leiomyoma uteri"),
    _organ("vagina", 996, r"vaginas?|vaginal"),
    _organ("vein", 1638, r"(?<!central )(?<!portal )veins?", weak=True),
    _organ("vulva", 997, r"vulvas?|vulvar"),
)  # fmt: skip

BY_NAME = {organ.name: organ for organ in ORGANS}

_NO_ORGAN_AFTER = (
    r"(?![- ]?(?:specific|derived|like\b|growth factor|transcription|functions?\b|enzymes?\b|failure|rates?\b|"
    r"weights?\b|"
    r"injury molecule|x receptor|natriuretic|morphogenetic|mineral|mass index|pressure|pain|293|lavage|flora|microbio|"
    r"tests?\b|parameters|index|cell lines?|cancer cells?\b|cells? line|carcinoma cells?\b|bypass|function\b|health\b|"
    r"stem cells?|fibroblasts?\b|and women|bypass|defect size|tropism))"
)
WORDS = re.compile(
    "|".join(
        rf"(?P<o{k}>\b(?:{organ.words})\b)"
        for k, organ in sorted(enumerate(ORGANS), key=lambda item: -len(item[1].words.split("|")[0]))
    ),
    re.IGNORECASE,
)
NOT_THE_ORGAN = re.compile(_NO_ORGAN_AFTER, re.IGNORECASE)


def chain(name: str) -> tuple[str, ...]:
    """Return an organ and what it is part of, the smallest first."""
    names = [name]
    while (part_of := BY_NAME[names[-1]].part_of) is not None:
        names.append(part_of)
    return tuple(names)
