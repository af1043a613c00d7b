"""What is measured because of what a segment is: emphysema of lungs, the solid part of nodules, coronary calcium."""

from __future__ import annotations

from radfind.errors import NotSupportedError
from radfind.language.lexicon import default_lexicon
from radfind.measure.density import agatston, emphysema_index, solid_part
from radfind.measure.diameters import slice_diameters
from radfind.measure.quantity import MM, MM3, ONE, PERCENT, Code, Quantity, own_code
from radfind.results import Segment
from radfind.volume import Volume

CALCIUM_SCORE = Code("112058", "DCM", "Calcium score")


def clinical(volume: Volume, segment: Segment) -> tuple[list[Quantity], list[str]]:
    """The quantities that a segment's concept asks for, and why any of them cannot be stated.

    Lungs and their parts: LAA-950. Part-solid and ground-glass nodules: volume and mean diameter of the solid part, the
    number Lung-RADS v2022 grades part-solid nodules by. Coronary arteries and their calcium: the Agatston score, where
    the scan is one it is defined for. All of them are for CT; other scans get none.
    """
    lexicon, concept = default_lexicon(), segment.concept
    if concept is None or concept.id not in lexicon or volume.modality != "CT":
        return [], []
    if lexicon.is_a(concept, "lung"):
        share = 100.0 * emphysema_index(volume, segment.mask)
        code = own_code("laa_950", "Share of lung below -950 HU")
        return [Quantity("emphysema_index_percent", share, code, PERCENT)], []
    if any(lexicon.is_a(concept, kind) for kind in ("part_solid_nodule", "ground_glass_nodule")):
        return _solid(volume, segment), []
    if any(lexicon.is_a(concept, kind) for kind in ("coronary_calcification", "coronary_artery")):
        try:
            return [Quantity("agatston_score", agatston(volume, segment.mask), CALCIUM_SCORE, ONE)], []
        except NotSupportedError as error:
            return [], [str(error)]
    return [], []


def _solid(volume: Volume, segment: Segment) -> list[Quantity]:
    core = solid_part(volume, segment.mask)
    diameter = slice_diameters(core, volume.geometry).mean_mm if core.any() else 0.0
    size = float(core.sum()) * volume.geometry.voxel_volume
    return [
        Quantity("solid_part_volume_mm3", size, own_code("solid_volume", "Volume of solid part"), MM3),
        Quantity("solid_part_diameter_mm", diameter, own_code("solid_diameter", "Mean diameter of solid part"), MM),
    ]
