"""From the general finding named to the special one meant: by organ, by texture, by a better word beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from radfind.language.claims import Claim, sided
from radfind.language.concepts import Concept
from radfind.language.discourse import is_definite
from radfind.language.findings import Place
from radfind.language.lexicon import Lexicon

# A nodule's texture makes it a more special concept of the lexicon.
_TEXTURES = {"part_solid": "part_solid_nodule", "ground_glass": "ground_glass_nodule", "solid": "solid_nodule"}
# Words so general that a kind of them in the same clause takes their place.
_VAGUE = frozenset(["pulmonary_opacity", "lesion"])
# General changes that, told of several organs, are one finding in each; and findings that have one organ even where the
# text names neighbours. Of the others, told of several organs, the general concept stays.
_DISTRIBUTED = frozenset(
    (
        *("effusion", "fluid_collection", "wall_thickening", "dilatation", "stenosis", "calcification", "metastasis"),
        "lymphadenopathy",
    )
)
_ONE_ORGAN = frozenset(["nodule", "mass", "lesion", "cyst", "tumor"])


# "infiltrates, ground-glass areas and consolidations" are three, "increased density, ground glass" is one.
_LISTED = re.compile(r"(?:s|es)?(?:,?\s(?:and|or)\s|,\s)(?:[a-z-]+\s){0,3}|[、及和与]")


def without_vague(folded: str, claims: Sequence[Claim], lexicon: Lexicon) -> list[Claim]:
    """ "increased density compatible with consolidation", "hypodense non-specific lesion, 17 mm": the special word
    says what the general one meant, and takes over what was told of it."""
    kept = []
    for claim in claims:
        better = [
            other
            for other in claims
            if claim.concept.id in _VAGUE
            and not folded.startswith("infiltrat", claim.start)
            and claim.presence != "absent"
            and other.concept is not claim.concept
            and other.clause == claim.clause
            and other.presence == claim.presence
            and lexicon.is_a(other.concept, claim.concept.id)
        ]
        special = min(better, key=lambda other: abs(other.start - claim.start), default=None)
        if special is None or _LISTED.fullmatch(folded, claim.stop, max(claim.stop, special.start)):
            kept.append(claim)
            continue
        if not special.sizes:
            special.sizes, special.anchor = claim.sizes, claim.start
        if not special.words or (
            sided(claim.words) and {w.value for w in special.words if w.kind == "side"} == {"both"}
        ):
            special.words = claim.words  # the special word under a heading, the general one beside the place
        special.references = special.references or claim.references
        special.count = special.count or claim.count
        special.multiple = special.multiple or claim.multiple
        special.attributes = list(dict.fromkeys((*special.attributes, *claim.attributes)))
    return kept


def without_heading(folded: str, claims: Sequence[Claim], lexicon: Lexicon) -> list[Claim]:
    """ "Nodules: solid nodule in the right lower lobe": what only heads the line that names it again claims nothing."""
    if len(claims) < 2 or claims[0].sizes or claims[0].words or not folded.startswith(":", claims[0].stop):
        return list(claims)
    again = any(lexicon.is_a(other.concept, claims[0].concept.id) for other in claims[1:])
    return list(claims[1:] if again else claims)


def without_repeats(folded: str, claims: Sequence[Claim], lexicon: Lexicon) -> list[Claim]:
    """ "A cavity in the left lung, the wall 4 mm thick, the cavity 22 mm wide": named again only to be measured, or,
    as in "atelectasis adjacent to the effusion", only to be pointed back at."""
    kept: list[Claim] = []
    for claim in claims:
        same = [c for c in kept if c.concept is claim.concept and c.presence == claim.presence]
        earlier = same[-1] if same else None
        if not claim.sizes and is_definite(folded, claim.start) and any(_told(c, claim, lexicon) for c in kept):
            continue
        if earlier is None or earlier.sizes or not claim.sizes or not set(claim.words) <= set(earlier.words):
            kept.append(claim)
            continue
        earlier.sizes, earlier.anchor = claim.sizes, claim.start
        earlier.attributes = list(dict.fromkeys((*earlier.attributes, *claim.attributes)))
        earlier.references = earlier.references or claim.references
    return kept


def _told(earlier: Claim, claim: Claim, lexicon: Lexicon) -> bool:
    return earlier.presence == claim.presence and lexicon.is_a(earlier.concept, claim.concept.id)


def keep_to_own_organ(claims: Sequence[Claim], lexicon: Lexicon) -> None:
    """ "Hepatic steatosis, and a lesion of the right kidney": a list shares its place only with what can lie there."""
    for claim in claims:
        organs = [word.concept for word in claim.words if word.concept is not None]
        others = {word for other in claims if other is not claim for word in other.words}
        if not organs or claim.concept.sided or not claim.concept.sites or not others.issuperset(claim.words):
            continue
        own = any(
            lexicon.is_a(organ, site) or lexicon.is_a(site, organ.id)
            for organ in organs
            for site in claim.concept.sites
        )
        if not own and not any(region in organ.region for organ in organs for region in ("chest", "head")):
            claim.words = []


def specials(
    concept: Concept, place: Place, attributes: Sequence[str], lexicon: Lexicon, about_chest: bool
) -> list[Concept]:
    """The most special concepts that sites and texture allow; several where a general change is told of several
    organs ("积液" of pleura and pericardium)."""
    special: dict[str, tuple[Concept, Concept]] = {}
    for site in place.sites:
        found = lexicon.specialise(concept, site)
        if found is not concept and found.id not in special:
            special[found.id] = (found, site)
    if len(special) > 1 and concept.id in _DISTRIBUTED:
        return [found for found, _ in special.values()]
    if len(special) > 1 and concept.id not in _ONE_ORGAN:
        return [concept]
    # a pleural-based nodule of the lung is a nodule of the lung
    ordered = sorted(special.values(), key=lambda pair: not lexicon.is_a(pair[1], "lung"))
    result = ordered[0][0] if ordered else concept
    if concept.id in ("effusion", "pleural_effusion") and any(
        lexicon.is_a(site, "heart" if concept.id == "effusion" else "pericardium") for site in place.sites
    ):
        # "a pleural effusion in the pericardial space", as translations have it; not one beside the heart
        beside = any(lexicon.is_a(site, part) for site in place.sites for part in ("pleura", "pleural_space", "lung"))
        result = result if beside else lexicon.get("pericardial_effusion")
    if result.id == "pulmonary_opacity" and place.sites and not any("chest" in site.region for site in place.sites):
        result = lexicon.get("hyperdense_lesion")  # "右肾见点状高密度影"
    if not place.sites and about_chest:
        result = lexicon.default_for_region(concept, "chest")
    if concept.id == "fracture" and place.levels and not place.sites:
        return [lexicon.get("vertebral_fracture")]  # "L4 fracture"
    if concept.id == "calcified_nodule" and not any(lexicon.is_a(site, "lung") for site in place.sites):
        organs = [lexicon.specialise(lexicon.get("nodule"), site) for site in place.sites]
        return [next((found for found in organs if found.id != "nodule"), result)]  # a calcific nodule of the thyroid
    if result.id == "pulmonary_nodule" or (concept.id == "nodule" and not place.sites):
        for texture, id in _TEXTURES.items():
            if texture in attributes and id in lexicon and (texture != "solid" or result.id != "nodule"):
                return [lexicon.get(id)]
    return [result]


# Above this a nodule of the lung is called a mass (Hansell et al., Fleischner Society glossary, Radiology 2008).
_MASS_MM = 30.0


def measured_lesion(
    concept: Concept, place: Place, mm: tuple[float, ...], attributes: Sequence[str], lexicon: Lexicon
) -> Concept:
    """A measured lesion of the lung that the text calls nothing else: a nodule, or a mass by its size in mm."""
    inside = any(lexicon.is_a(site, "lung") for site in place.sites)
    if concept.id != "lesion" or not mm or not inside or "cystic" in attributes:
        return concept
    return lexicon.get("pulmonary_mass" if mm[0] > _MASS_MM else "pulmonary_nodule")


# Interpretations rather than signs: "compatible with" one of these is a hedge. For a sign ("density compatible with
# consolidation") it is only a turn of phrase.
_DIAGNOSES = (
    *("pneumonia", "tuberculosis", "metastasis", "tumor", "malignancy", "lymphoma", "abscess", "inflammation"),
    *("pulmonary_edema", "sarcoidosis", "interstitial_lung_disease", "pulmonary_embolism", "infarction"),
    *("thymoma", "cirrhosis", "pancreatitis", "diverticulitis", "appendicitis", "cholecystitis", "osteomyelitis"),
)


# Benign lesions that their density tells, as it tells a cyst: "compatible with an adenoma" claims one, as the
# guidelines of the hand labels have it (hamartoma, lipoma, hemangioma and granuloma likewise stand in no list above).
_TOLD_BY_DENSITY = frozenset(("adenoma",))


def is_diagnosis(concept: Concept, lexicon: Lexicon) -> bool:
    """Whether the concept interprets what is seen rather than names a sign."""
    if concept.id in _TOLD_BY_DENSITY:
        return False
    return any(lexicon.is_a(concept, id) for id in _DIAGNOSES)
