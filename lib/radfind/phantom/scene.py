"""A scene: one patient with lesions, evaluated on any voxel grid."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy.spatial import cKDTree

from radfind.phantom import confounders, skeleton
from radfind.phantom.grid import field_image
from radfind.phantom.lesions import FOCAL, LOBES, PLEURAL, Blob, LesionSpec, make_blob
from radfind.phantom.organs import organ_fields
from radfind.phantom.patient import HILA, Patient, random_patient
from radfind.phantom.shapes import HIGH, LOW, STEP, template_axes
from radfind.phantom.trees import grow
from radfind.phantom.tubes import Tubes


@dataclasses.dataclass(frozen=True, eq=False)
class Lesion:
    """A placed lesion: `blobs` cut by the lung and, with `lobe`, by the lobe; pleural kinds are fields instead."""

    spec: LesionSpec
    side: str
    lobe: str | None
    diameter_mm: float
    blobs: tuple[Blob, ...]
    spicules: Tubes
    hu: float
    core: Blob | None = None
    cut_lobe: bool = False


class Scene:
    """Everything that is drawn, in LPS millimetres.

    Arguments:
        rng: source of the anatomy, the lesions and the texture; the same state gives the same scene on every grid.
        specs: lesions to place, or None for a random choice.
        extras: confounders (see `confounders`).
    """

    def __init__(
        self,
        rng: np.random.Generator,
        specs: tuple[LesionSpec, ...] | None,
        extras: frozenset[confounders.Confounder] = frozenset(),
    ) -> None:
        anatomy, trees, placing, confusing = rng.spawn(4)
        self.extras = extras
        self.patient: Patient = random_patient(anatomy)
        if "deep_breath" in extras:
            self.patient = confounders.breathed_in(self.patient)
        self.to_template = np.linalg.inv(self.patient.matrix)
        self.fields = organ_fields(self.patient, anatomy)
        if "paravertebral" in extras:
            confounders.shape_lungs(self.fields, self.patient)
        if "colon_gas" in extras:
            confounders.add_colon(self.fields, self.patient)
        self._grow(trees)
        if "chest_wall_air" in extras:
            self.wall_air = confounders.wall_air(self.fields, self.patient, confusing)
        chosen = random_specs(placing) if specs is None else specs
        self.lesions: list[Lesion] = []
        for spec in sorted(chosen, key=lambda s: s.kind not in PLEURAL):
            self._place(spec, placing)
        self.lesions.sort(key=lambda item: [spec is item.spec for spec in chosen].index(True))
        self.images = {name: field_image(field) for name, field in self.fields.items()}
        spine = sitk.GetImageFromArray(skeleton.vertebrae(self.patient))
        spine.SetOrigin(tuple(skeleton.SPINE_LOW))
        self.images["spine"] = spine
        self.bounds = {name: self._bounds(name) for name in self.fields}
        self.bounds["spine"] = (skeleton.SPINE_LOW, skeleton.SPINE_HIGH)
        back = np.where((self.fields["body"] < 0).any(axis=0))[0].max() * STEP + LOW[1]
        self.table = self.patient.to_lps([0, back + 17, -25])[:2]

    def _bounds(self, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Template box outside which a field is too far off to matter (its surface is over 8 mm away)."""
        if name == "texture" or name.startswith(("major", "minor", "floor")):
            return LOW, HIGH
        near = self.fields[name] < 8
        spans = [np.flatnonzero(near.any(axis=other)) for other in ((0, 1), (0, 2), (1, 2))]
        low = np.array([LOW[a] + (span[0] - 1) * STEP if len(span) else 0 for a, span in enumerate(spans)])
        high = np.array([LOW[a] + (span[-1] + 1) * STEP if len(span) else 0 for a, span in enumerate(spans)])
        return np.maximum(low, LOW), np.minimum(high, HIGH)

    def _grow(self, rng: np.random.Generator) -> None:
        """Airways, arteries, veins, bones and great vessels as tubes in LPS mm."""
        move = (self.patient.matrix, self.patient.scale)
        x, y, z = (np.broadcast_to(t, self.fields["body"].shape) for t in template_axes())
        airways, vessels = [], []
        trachea = [[0, -14, 190], [1, -6, 120], [2, 4, 60], [0, 12, 4]]
        airways.append(Tubes.along(trachea, [8.5, 8.5, 8.5, 9]).split(20))
        for side, sign in (("right", -1), ("left", 1)):
            hilum = np.array(HILA[side])
            airways.append(Tubes.along(np.stack([[0, 12, 2], hilum * [0.55, 1, 0.5], hilum]), [8, 6.5, 5.8]))
            lung = self.fields[f"lung_{side}"]
            for lobe in LOBES[side]:
                inside = np.flatnonzero((lung < -4) & self._lobe(side, lobe))
                for purpose, n in (("airway", 70), ("artery", 330), ("vein", 260)):
                    pick = rng.choice(inside, min(n, len(inside)), replace=False)
                    points = np.column_stack([t.ravel()[pick] for t in (x, y, z)]).astype(float)
                    points += rng.uniform(-1.2, 1.2, points.shape)
                    if purpose == "airway":
                        airways.append(grow(hilum, points, rng, leaf_radius=0.75, exponent=2.3, largest=4.5))
                    else:
                        shift = [sign * 4.0, -9, 4] if purpose == "artery" else [sign * 2.0, -14, -14]
                        vessels.append(grow(hilum + shift, points, rng, leaf_radius=0.55, exponent=2.5, largest=6.5))
        self.airways = Tubes.join(airways).moved(*move).split(12)
        walls = Tubes.join(airways)
        walls = dataclasses.replace(
            walls, start_radius=walls.start_radius * 1.15 + 0.15, stop_radius=walls.stop_radius * 1.15 + 0.15
        )
        self.airway_walls = walls.moved(*move).split(12)
        self.vessels = Tubes.join(vessels).moved(*move).split(12)
        bone, cartilage = skeleton.ribs(self.patient)
        self.ribs = bone.moved(*move)
        self.cartilage = cartilage.moved(*move)
        self.girdle = skeleton.girdle().moved(*move).split(15)
        self.blades = skeleton.shoulder_blades().moved(*move).split(15)
        turn = np.linspace(0, np.pi, 14)
        sx, sy = self.patient.spine(0)
        front, back = np.array([-6.0, -22.0]), np.array([22.0 + sx, sy - 12])
        middle, half = (front + back) / 2, (back - front) / 2
        arch = np.column_stack(
            [middle[0] - half[0] * np.cos(turn), middle[1] - half[1] * np.cos(turn), 24 + 22 * np.sin(turn)]
        )
        down = np.linspace(20, -215, 20)
        dx, dy = self.patient.spine(down)
        hx, hy, hz = self.patient.heart
        outlet = float(hz) + 30  # height at which the great vessels leave the heart
        great = [
            Tubes.along(np.vstack([[[hx - 12, hy + 4, outlet], [-8, -26, 6]], arch]), 14.5),
            Tubes.along(np.column_stack([22 + dx, dy - 12, down]), np.linspace(12.5, 10.5, 20)),
            Tubes.along(np.array([[8, -30, outlet + 4], [16, -24, -14], [20, -8, -10]]), [14, 13, 12]),
            Tubes.along([[18, -12, -10], [-6, -8, -16], [-32, 6, -18]], [11, 10, 8]),
            Tubes.along([[20, -8, -8], [38, 6, -12]], [11, 8]),
            Tubes.along(np.array([[-24, -16, outlet], [-22, -20, 10], [-20, -26, 60]]), [10, 10, 8]),
            Tubes.along([[-20, -26, 60], [-38, -30, 85], [-70, -36, 105]], [8, 7, 6]),
            Tubes.along([[-20, -26, 56], [14, -38, 66], [40, -32, 88], [75, -36, 105]], [7, 7, 7, 6]),
            Tubes.along([arch[4], [-8, -18, 80], [-22, -14, 130], [-24, -10, 190]], [6.5, 6, 4, 3.5]),
            Tubes.along([arch[7], [14, -8, 80], [22, -10, 130], [24, -8, 190]], [4.5, 4.5, 4, 3.5]),
            Tubes.along([arch[9], [24, 6, 75], [36, 0, 108], [80, -18, 112]], [5.5, 5.5, 5, 4.5]),
        ]
        self.great = Tubes.join(great).moved(*move).split(20)
        gullet = np.linspace(150, -150, 16)
        gx, gy = self.patient.spine(gullet)
        # Normal-sized lymph nodes in the fat of the mediastinum.
        spots = np.array([[-14, -4, 20], [-12, -2, 34], [12, -4, 2], [4, 22, -16], [-10, -30, 48], [8, -34, 40]])
        spots = spots + rng.normal(0, 3, spots.shape)
        self.nodes = Tubes(spots, spots + rng.normal(0, 4, spots.shape), *rng.uniform(2, 4, (2, len(spots)))).moved(
            *move
        )
        self.gullet = Tubes.along(np.column_stack([gx + 7, gy - 24, gullet]), 6.5).moved(*move)

    def _lobe(self, side: str, lobe: str) -> npt.NDArray[np.bool_]:
        """Which points of the template grid lie on that side of the fissures."""
        lower = self.fields[f"major_{side}"] < 0
        if lobe == "lower":
            return lower
        if side == "left":
            return ~lower
        return ~lower & ((self.fields["minor_right"] < 0) == (lobe == "middle"))

    def _place(self, spec: LesionSpec, rng: np.random.Generator) -> None:
        drawn = "left" if rng.random() < 0.5 and spec.lobe != "middle" else "right"
        side = spec.side or drawn
        if spec.kind in PLEURAL:
            depth = spec.diameter_mm or float(rng.uniform(18, 50))
            self._pleural(spec.kind, side, depth / self.patient.scale)
            hu = float(rng.uniform(4, 18)) if spec.kind == "pleural_effusion" else -995.0
            self.lesions.append(Lesion(spec, side, None, depth, (), Tubes.join([]), hu))
            return
        smallest, largest, densities = _RANGES[spec.kind]
        diameter = spec.diameter_mm or float(rng.uniform(smallest, largest))
        density = float(rng.uniform(*densities))
        lobe = spec.lobe or str(rng.choice(LOBES[side]))
        if lobe not in LOBES[side]:
            raise ValueError(f"the {side} lung has no {lobe} lobe")
        where = self._centre(spec, side, lobe, diameter, rng)
        none = Tubes.join([])
        if spec.kind in FOCAL:
            blob = make_blob(rng, where, diameter, attributes=spec.attributes)
            spicules = none
            if "spiculated" in spec.attributes:
                rays = rng.standard_normal((14, 3))
                rays /= np.linalg.norm(rays, axis=1)[:, None]
                tips = where + rays * (diameter / 2 + rng.uniform(3, 9, (14, 1)))
                spicules = Tubes(np.repeat(where[None], 14, 0), tips, np.full(14, 1.6), np.full(14, 0.25)).split(8)
            core = None
            if spec.kind == "part_solid_nodule" or "calcified" in spec.attributes:
                share = rng.uniform(0.4, 0.6)
                core = make_blob(rng, where + rng.normal(0, 0.06 * diameter, 3), diameter * share)
            self.lesions.append(Lesion(spec, side, lobe, diameter, (blob,), spicules, density, core))
            return
        if spec.kind == "consolidation":
            spread = 0.25 * diameter
            blobs = [make_blob(rng, where, diameter * 0.7, roughness=0.1)] + [
                make_blob(rng, where + spread * _ball(rng), diameter * rng.uniform(0.35, 0.6), roughness=0.12)
                for _ in range(int(rng.integers(4, 8)))
            ]
        elif spec.kind == "atelectasis":
            plate = make_blob(rng, where, diameter, roughness=0.02)
            tilt = np.linalg.qr(np.eye(3) + 0.25 * rng.standard_normal((3, 3)))[0]
            blobs = [
                dataclasses.replace(plate, radii=np.array([diameter / 2, diameter / 3, rng.uniform(2.2, 4)]), axes=tilt)
            ]
        elif spec.kind == "ground_glass_opacity":
            n = int(rng.integers(3, 7))
            spread = diameter * 0.4
            blobs = [
                make_blob(
                    rng, where + rng.uniform(-spread, spread, 3), diameter * rng.uniform(0.35, 0.7), roughness=0.1
                )
                for _ in range(n)
            ]
        else:
            n = int(diameter * 1.6)
            blobs = [
                make_blob(rng, where + _ball(rng) * diameter / 2, rng.uniform(5, 16), roughness=0.05) for _ in range(n)
            ]
        cut = spec.kind in ("consolidation", "emphysema")
        self.lesions.append(Lesion(spec, side, lobe, diameter, tuple(blobs), none, density, None, cut))

    def _centre(
        self, spec: LesionSpec, side: str, lobe: str, diameter: float, rng: np.random.Generator
    ) -> npt.NDArray[np.float64]:
        """A place in the lobe with room for the lesion, LPS mm."""
        radius = diameter / 2 / self.patient.scale
        lung, medial = self.fields[f"lung_{side}"], self.fields["mediastinum"]
        shape = lung.shape
        inside = self._lobe(side, lobe)
        edges = [np.abs(self.fields[f"major_{side}"])]
        if side == "right":
            edges.append(np.abs(self.fields["minor_right"]))
        fissure = np.min(edges, axis=0)
        if "juxtapleural" in spec.attributes:
            near = (lung > -0.85 * radius) & (lung < -0.55 * radius) & (self.fields["cavity"] > -2 * radius - 6)
            good = inside & near & (fissure > radius) & (medial > 2 * radius + 10)
        elif spec.kind in FOCAL:
            good = inside & (lung < -radius * 1.15 - 2) & (fissure > radius * 1.1) & (medial > radius + 8)
        else:
            good = inside & (lung < -min(0.3 * radius, 12)) & (medial > 10)
        axes = template_axes()
        for other in self.lesions:
            for blob in other.blobs:
                c = blob.centre @ self.to_template[:3, :3].T + self.to_template[:3, 3]
                gap = np.sqrt(sum((t - v) ** 2 for t, v in zip(axes, c, strict=True)))
                good &= gap > radius + blob.reach / self.patient.scale + 4
        if "juxtavascular" in spec.attributes:
            big = self.vessels.start_radius > 1.2
            seeds = self.vessels.start[big] @ self.to_template[:3, :3].T + self.to_template[:3, 3]
            x, y, z = (np.broadcast_to(t, shape)[good] for t in axes)
            gap, _ = cKDTree(seeds).query(np.column_stack([x, y, z]))
            keep = good.copy()
            keep[good] = np.abs(gap - radius) < 2.0
            good = keep if keep.any() else good
        spots = np.flatnonzero(good)
        if not len(spots):
            room = np.where(inside & (medial > 4), lung, np.inf)
            if not np.isfinite(room).any():
                raise ValueError(f"no room for {spec} in this patient")
            spots = np.array([int(np.argmin(room))])
        pick = int(rng.choice(spots))
        point = np.array([np.broadcast_to(t, shape).ravel()[pick] for t in axes], float) + rng.uniform(-1.2, 1.2, 3)
        return self.patient.to_lps(point)

    def _pleural(self, kind: str, side: str, depth: float) -> None:
        """Take fluid or air out of a lung's field, and keep it as a field of its own."""
        _, y, z = template_axes()
        lung = self.fields[f"lung_{side}"]
        inside = lung < 0
        rows = np.flatnonzero(inside.any(axis=(0, 2)))
        levels = np.flatnonzero(inside.any(axis=(1, 2)))
        front, back = float(y.ravel()[rows[0]]), float(y.ravel()[rows[-1]])
        bottom, top = float(z.ravel()[levels[0]]), float(z.ravel()[levels[-1]])
        high = (z - bottom) / (top - bottom)
        if kind == "pleural_effusion":
            # A crescent on the rib cage and the diaphragm, thickest at the back and the bottom; a flat surface would
            # be an air-fluid level.
            from_wall = -np.maximum(self.fields["cavity"] + 2.5, self.fields[f"floor_lung_{side}"])
            behind = np.clip((y - front) / (0.94 * (back - front)) - 0.3, 0, 0.64) / 0.64
            reach = np.clip(depth / 45, 0.35, 1.0)  # a small effusion stays low
            layer = depth * behind**1.8 * np.clip(1.25 * (1 - high / reach), 0, 1)
            taken = np.maximum(lung, (from_wall - layer).astype(np.float32) + np.where(layer > 0.5, 0, 5))
        else:
            ahead = np.clip((back - 20 - y) / (back - front - 25), 0, 1)
            rim = depth * ahead * np.clip(0.45 + 0.7 * high, 0, 1.1)
            rim = rim * np.clip((self.fields["mediastinum"] - 3) / 14, 0, 1)
            taken = np.maximum(lung, -(lung + rim) + 0.05)
        self.fields[f"{kind}_{side}"] = taken.astype(np.float32)
        self.fields[f"lung_{side}"] = np.maximum(lung, -taken).astype(np.float32)


_RANGES: dict[str, tuple[float, float, tuple[float, float]]] = {
    "solid_nodule": (6, 28, (10, 60)),
    "part_solid_nodule": (10, 28, (-620, -480)),
    "ground_glass_nodule": (8, 28, (-680, -520)),
    "pulmonary_mass": (32, 62, (15, 50)),
    "consolidation": (45, 90, (15, 45)),
    "ground_glass_opacity": (40, 80, (-640, -500)),
    "emphysema": (50, 90, (-985, -960)),
    "atelectasis": (35, 65, (10, 45)),
}


def random_specs(rng: np.random.Generator) -> tuple[LesionSpec, ...]:
    """Two to four lesions of different kinds, the first one focal."""
    kinds = [str(rng.choice(FOCAL))]
    others = [k for k in (*_RANGES, *PLEURAL) if k not in kinds]
    kinds += [str(k) for k in rng.choice(others, int(rng.integers(1, 4)), replace=False)]
    extras = ("lobulated", "spiculated", "juxtapleural", "juxtavascular")
    specs = []
    for kind in kinds:
        attributes = (str(rng.choice(extras)),) if kind in FOCAL and rng.random() < 0.6 else ()
        specs.append(LesionSpec(kind=kind, attributes=attributes))  # type: ignore[arg-type]
    return tuple(specs)


def _ball(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A random point of the unit ball."""
    v = rng.standard_normal(3)
    return v / np.linalg.norm(v) * rng.random() ** (1 / 3)
