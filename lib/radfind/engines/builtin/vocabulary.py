"""Which findings the built-in engine can look for, and how far one kind of lesion answers to the name of another."""

from __future__ import annotations

from radfind.engines.builtin.anatomy import SUPPORTED
from radfind.engines.builtin.whereabouts import LOBES
from radfind.language.findings import Finding
from radfind.language.lexicon import Lexicon

FAMILIES: dict[str, tuple[str, ...]] = {
    "nodule": ("pulmonary_nodule", "pulmonary_mass"),
    "opacity": ("ground_glass_opacity", "consolidation"),
    "emphysema": ("emphysema",),
    "effusion": ("pleural_effusion",),
    "pneumothorax": ("pneumothorax",),
}
"""What is searched for together; a concept belongs to a family when it is one of these or a kind of one."""

_GENERAL = ("nodule", "mass", "lesion")
_DENSITIES = ("solid", "part_solid", "ground_glass")
_TOLD_APART = frozenset(
    {*_GENERAL, *(member for members in FAMILIES.values() for member in members)}
    | {*(f"{density}_nodule" for density in _DENSITIES), "calcified_nodule"}
)
_ALWAYS_SMALL = frozenset({"miliary_pattern", "tree_in_bud", "centrilobular_nodule", "perifissural_nodule"})
_DENSITY_AGREEMENT = {
    frozenset(("solid", "part_solid")): 0.35,
    frozenset(("part_solid", "ground_glass")): 0.45,
    frozenset(("solid", "ground_glass")): 0.1,
}
"""Readers themselves confuse neighbouring classes in a third of cases (van Riel et al., Radiology 2015), never solid
with pure ground glass."""


def family_of(finding: Finding, lexicon: Lexicon) -> str | None:
    """The family in which to look for a finding, or None when the engine does not know it."""
    concept = finding.concept.id
    for family, members in FAMILIES.items():
        if any(concept == m or (m in lexicon and lexicon.is_a(concept, m)) for m in members):
            return family
    if concept in _GENERAL and in_lung(finding, lexicon):
        return "nodule"
    return None


def in_lung(finding: Finding, lexicon: Lexicon) -> bool:
    """Whether the text puts a finding into the lung; lobes, segments and no site at all count."""
    sites = [site.id for site in finding.place.sites]
    if finding.place.lobes or not sites:
        return True
    return any(site in ("lung", "pleura") or lexicon.is_a(site, "lung") for site in sites)


def told_apart(finding: Finding) -> bool:
    """Whether density, shape and size show the very kind a text names, and not only the general kind it belongs to
    ("pleural effusion" but not "hemothorax", "nodule" but not "perifissural nodule")."""
    return finding.concept.id in _TOLD_APART


def same_kind(asked: str, found: str, lexicon: Lexicon) -> bool:
    """Whether a concept asked for is what was found or a kind of it."""
    return asked == found or (asked in lexicon and found in lexicon and lexicon.is_a(asked, found))


def may_merge(finding: Finding) -> bool:
    """Whether what a text names may lie so close to mediastinum or chest wall that it is found as consolidation."""
    return finding.concept.id in ("mass", "pulmonary_mass")


def may_be_mass(finding: Finding) -> bool:
    """Whether a text names a mass, or a lesion in general, which may be a mass."""
    return may_merge(finding) or (finding.concept.id == "lesion" and density_asked(finding) in (None, "solid"))


def may_be_lump(finding: Finding) -> bool:
    """Whether a text names a solid nodule or lesion in general, which dense lung of doubtful nature may be."""
    named = finding.concept.id in ("nodule", "lesion", "pulmonary_nodule", "solid_nodule")
    return named and density_asked(finding) in (None, "solid")


def always_small(finding: Finding) -> bool:
    """Whether what a text names is under 10 mm by definition: miliary, centrilobular and tree-in-bud nodules are of a
    few millimetres, perifissural ones (lymph nodes within the lung) seldom reach 10 (Fleischner Society glossary,
    Bankier et al., Radiology 2024; de Hoop et al., Radiology 2012)."""
    return finding.concept.id in _ALWAYS_SMALL


def calcified_asked(finding: Finding) -> bool:
    """Whether the text speaks of calcification, in its name or beside it."""
    return finding.concept.id == "calcified_nodule" or "calcified" in finding.attributes


def density_asked(finding: Finding) -> str | None:
    """ "solid", "part_solid" or "ground_glass" when the words say so."""
    for density in _DENSITIES:
        if finding.concept.id == f"{density}_nodule":
            return density
    named = [density for density in _DENSITIES if density in finding.attributes]
    return named[0] if len(named) == 1 else None


def density_agreement(asked: str | None, found: str, longest_mm: float) -> float:
    """0..1: how well a density class answers to another. Below 6 mm classes cannot be told apart (Fleischner 2017)."""
    if asked is None or asked == found:
        return 1.0
    agreement = _DENSITY_AGREEMENT.get(frozenset((asked, found)), 1.0)
    return max(agreement, 0.7) if longest_mm < 6.0 else agreement


def known_concepts(lexicon: Lexicon) -> frozenset[str]:
    """Ids of every concept the engine can look for."""
    roots = [member for members in FAMILIES.values() for member in members]
    ids = set(_GENERAL) & {concept.id for concept in lexicon}
    for concept in lexicon:
        if any(concept.id == root or lexicon.is_a(concept.id, root) for root in roots if root in lexicon):
            ids.add(concept.id)
    return frozenset(ids | (SUPPORTED & {concept.id for concept in lexicon}) | (set(LOBES)))
