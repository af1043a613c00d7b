"""Lesions, places and sizes put into words, in English or in Chinese."""

from __future__ import annotations

import dataclasses

from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.phrases import say
from radfind.engines.builtin.whereabouts import locate
from radfind.language.findings import Finding, Place
from radfind.language.lexicon import Lexicon
from radfind.language.text import fold
from radfind.language.wording import in_chinese

_MEASURED_IN_ML = (
    "consolidation",
    "ground_glass_opacity",
    "atelectasis",
    "emphysema",
    "pleural_effusion",
    "pneumothorax",
)
_IN_PLEURA = ("pleural_effusion", "pneumothorax")
_DENSITIES = {
    "solid": ("solid ", "实性"),
    "part_solid": ("part-solid ", "部分实性"),
    "ground_glass": ("ground-glass ", "磨玻璃"),
}
_SIDES = {"left": "左", "right": "右", "both": "双侧"}
_LOBES = {"upper": "上叶", "middle": "中叶", "lower": "下叶", "lingula": "舌叶"}
_THIRDS = {"upper": "上野", "middle": "中野", "lower": "下野"}
_ZONES = {
    **_THIRDS,
    "apical": "尖部",
    "basal": "底部",
    "perihilar": "肺门周围",
    "peripheral": "外周",
    "subpleural": "胸膜下",
    "central": "中央",
    "anterior": "前部",
    "posterior": "后部",
    "medial": "内侧",
    "lateral": "外侧",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Wording:
    """Puts what one scan shows into the words of one language."""

    analysis: Analysis
    lexicon: Lexicon
    chinese: bool = False

    @classmethod
    def of(cls, finding: Finding, analysis: Analysis, lexicon: Lexicon) -> Wording:
        """In the language of the sentence that claims the finding."""
        return cls(analysis, lexicon, in_chinese(fold(finding.sentence.text)))

    def say(self, key: str, **parts: object) -> str:
        """A sentence of `phrases`."""
        return say(key, self.chinese, **parts)

    def concept(self, finding: Finding) -> str:
        """ "pleural effusion", "胸腔积液"."""
        return finding.concept.chinese if self.chinese else finding.concept.english

    def name(self, lesion: Lesion) -> str:
        """What a lesion is called: "part-solid nodule", "solid mass", "consolidation"."""
        if lesion.concept == "pulmonary_mass" or lesion.concept.endswith("_nodule"):
            words = ("mass", "肿块") if lesion.concept == "pulmonary_mass" else ("nodule", "结节")
            density = _DENSITIES.get(lesion.attributes[0], ("", "")) if lesion.attributes else ("", "")
            calcified = ("calcified ", "钙化") if "calcified" in lesion.attributes else ("", "")
            return calcified[self.chinese] + density[self.chinese] + words[self.chinese]
        concept = self.lexicon.get(lesion.concept) if lesion.concept in self.lexicon else None
        if concept is None:
            return lesion.concept.replace("_", " ")
        return concept.chinese if self.chinese else concept.english

    def where(self, lesion: Lesion) -> str:
        """ "right upper lobe, apical", "left pleural space": no more than is certain."""
        if lesion.concept in _IN_PLEURA:
            if self.chinese:
                return f"{_SIDES[lesion.side].removesuffix('侧')}侧胸腔"
            return "both pleural spaces" if lesion.side == "both" else f"{lesion.side} pleural space"
        place = locate(self.analysis.anatomy, lesion)
        zones = [z for z in place.zones if z in _THIRDS]
        if self.chinese:
            side = "双" if place.side == "both" else _SIDES[str(place.side)]
            return f"{side}肺" + "".join([*(_LOBES[lobe] for lobe in place.lobes), *(_ZONES[z] for z in place.zones)])
        if place.side == "both":
            return "both lungs"
        first = f"{place.side} {place.lobes[0]} lobe" if place.lobes else f"{place.side} lung"
        return ", ".join([first, *(f"{z} zone" if z in zones else z for z in place.zones)])

    def size(self, lesion: Lesion) -> str:
        """ "14 x 11 mm" for nodules, "120 ml" for what is not round."""
        if lesion.concept in _MEASURED_IN_ML:
            millilitres = lesion.volume_mm3 / 1000.0
            return f"{millilitres:.0f} ml" if millilitres >= 10 else f"{millilitres:.1f} ml"
        return f"{lesion.longest_mm:.0f} x {lesion.perpendicular_mm:.0f} mm"

    def sentence(self, lesion: Lesion) -> str:
        """ "solid nodule, right upper lobe, 14 x 11 mm, mean 22 HU"."""
        if self.chinese:
            where = self.where(lesion).removesuffix("胸腔")  # "左侧胸腔积液", "左侧气胸"
            return f"{where}{self.name(lesion)}，{self.size(lesion)}，平均{round(lesion.mean_hu)} HU"
        return f"{self.name(lesion)}, {self.where(lesion)}, {self.size(lesion)}, mean {round(lesion.mean_hu)} HU"

    def side(self, side: str) -> str:
        """ "left", "左侧"."""
        return f"{_SIDES[side].removesuffix('侧')}侧" if self.chinese else side

    def place(self, place: Place) -> str:
        """The place of a text as the engine understood it: "right upper lobe, S1, apical"; empty for none."""
        return self._place_zh(place) if self.chinese else _place_en(place)

    def _place_zh(self, place: Place) -> str:
        first = place.sites[0].chinese if place.sites else ""
        lobes = "、".join(_LOBES[lobe] for lobe in place.lobes if not place.sites)
        if place.side is not None and not first.startswith(("左", "右", "双")):
            side = self.side(place.side)
            first = (side[:1] if first.startswith("肺") else side) + first
        zones = "".join(_ZONES[zone] for zone in place.zones)
        return "".join([first, lobes, *place.segments, zones, *place.levels])

    def searched(self, place: Place) -> str:
        """Where was looked: "in the left lung", "on both sides"."""
        where = self.place(place)
        if not where:
            return self.say("in_chest")
        if self.chinese:
            return where
        article = "" if where.startswith("both") else "the "
        return f"{'on' if where.endswith(('side', 'sides')) else 'in'} {article}{where}"

    def unseen(self, place: Place) -> str:
        """What the scan does not show: "the right lower lobe", the lungs when no place is named."""
        where = self.place(place)
        if self.chinese:
            return where or "肺"
        return where if where.startswith("both") else f"the {where or 'lungs'}"

    def sizes(self, finding: Finding) -> str:
        """The size a text gives: "14 x 11 mm", "up to 5 mm"."""
        if finding.sizes_mm:
            return " x ".join(f"{value:g}" for value in finding.sizes_mm) + " mm"
        low, high = finding.size_range_mm or (0.0, 0.0)
        if high == float("inf"):
            return f"大于{low:g} mm" if self.chinese else f"more than {low:g} mm"
        if low <= 0:
            return f"不超过{high:g} mm" if self.chinese else f"up to {high:g} mm"
        return f"{low:g}至{high:g} mm" if self.chinese else f"{low:g} to {high:g} mm"

    def kind(self, finding: Finding) -> str:
        """What a text calls a finding, its attributes included: "calcified nodule"."""
        if self.chinese:
            return finding.concept.chinese
        named = finding.concept.english
        extra = [word for word in (a.replace("_", "-") for a in finding.attributes) if word not in named]
        return " ".join([*extra, named])


def _place_en(where: Place) -> str:
    first = where.sites[0].english if where.sites else f"{where.lobes[0]} lobe" if where.lobes else ""
    if where.side == "both":
        first = f"both {first or 'side'}s"
    elif where.side is not None and where.side not in first:
        first = f"{where.side} {first or 'side'}"
    parts = [first] * bool(first)
    if not where.sites:
        parts += [f"{lobe} lobe" for lobe in where.lobes[1:]]
    return ", ".join([*parts, *where.segments, *where.zones, *where.levels])
