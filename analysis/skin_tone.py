"""Skin tone in a photo: the individual typology angle of cheeks and forehead, and how little one photo says of it.

ITA = arctan((L* - 50) / b*), `core.ita` (sources there). It is a measure of the picture: exposure and white balance go
into it in full, and an uncalibrated photo knows neither. So the angle comes with the interval that these leave open and
with the names of all classes in it, and it is no Fitzpatrick type: the two correlate poorly and must not be exchanged.

Letters: L, a, b CIELAB of sRGB (D65). f exposure: light multiplied by f. A patch is a piece of bare skin between
landmarks; what in it is specular, shadowed, hairy or painted departs from the rest and is left out. Y luminance, n the
skin's normal (towards the camera, to the right, up), k the light: Y ~ k.n over all patches (Lambert). Every patch is
told as it would look if it faced the camera, where Y = k1: lamps and camera stay while a head turns, so the same skin
looks the same from the front and from three quarters, which a cheek turned into the shade does not.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from analysis.spots import mirror478
from core.camera import Camera
from core.errors import InputRefused
from core.fragments import Rasterize
from core.ita import CLASSES, DARKEST, ita_deg
from core.landmarks import Landmarks2D
from core.mesh import Mesh
from core.records import freeze, record

CHEEK_RIGHT = (117, 118, 101, 36, 205, 123)
FOREHEAD = (69, 109, 338, 299, 9)
FACE_PX = 320.0
"""The photo is reduced until the face is so high: the result does not depend on the picture's size."""
LEAST_COSINE = 0.5
"""Skin seen from further aside shines, and shows its edge."""
LEAST_PIXELS, LEAST_PART = 80, 0.3
"""Of a patch, at FACE_PX: fewer, or a smaller share of it left, say nothing."""
LEAST_AREA = 0.15
"""A patch that shows less of itself than this share of the largest one is seen edge on, or from behind."""
MOST_CHANNEL, LEAST_CHANNEL = 250, 6
"""A channel at the end of its range holds no colour."""
NEAR = 1.8
"""Pixels within so many robust spreads (1.48 times the median absolute deviation) of the patch's median are kept."""
FLOOR = np.array([1.5, 1.0, 1.0])
"""Least spread of L, a, b: 8-bit colours and JPEG."""
GREY_CHROMA = 3.0
AGREE_L = 3.0
"""Patches whose L differ by less agree: it moves the angle by some 8 degrees."""
WITHIN_95 = 1.96
SLOPE_SD, LIGHT_NOISE, SAY = 0.5, 0.08, 20.0
"""The light from the side and above as a share of that from the camera, 1 sd; how far skin departs from Lambert; every
patch has the say of so many pixels."""
LEAST_DEG = 8.0
"""What is left between photos of one person in one light at best (benchmarks/skin_tone.md): L* +- 3."""


@record
class ToneOptions:
    """What is not known of the photo, 1 sd. exposure_stops: of its exposure, in powers of two; white: of a* and b*.

    The defaults are for a photo of unknown origin (assumption: a phone meters a face to half a stop; a daylight balance
    under a warm lamp moves b* by some 4). A studio with a colour chart may give less: 0.1 and 1.
    """

    exposure_stops: float = 0.5
    white: float = 4.0


DEFAULTS = ToneOptions()


@record
class Patch:
    """A piece of skin. seen_lab: mean colour of what was kept (CIELAB), as it looks; lab: as if it faced the camera.
    used: where, at the photo's size."""

    name: str
    seen_lab: Float[np.ndarray, "3"]
    lab: Float[np.ndarray, "3"]
    used: Bool[np.ndarray, "h w"]

    def __post_init__(self) -> None:
        freeze(self, seen_lab=(self.seen_lab, float), lab=(self.lab, float), used=(self.used, bool))

    @property
    def ita_deg(self) -> float:
        """The patch's own angle."""
        return ita_deg(float(self.lab[0]), float(self.lab[2]))


@record
class SkinTone:
    """ita_deg with its 95 % interval; `here_deg`: how far the patches of this one photo differ (1 sd), all that counts
    when two photos in the same light are compared. classes: every ITA class in the interval, lightest first."""

    ita_deg: float
    low_deg: float
    high_deg: float
    here_deg: float
    classes: tuple[str, ...]
    patches: tuple[Patch, ...]
    left_out: Mapping[str, str]
    sides_agree: bool | None
    forehead_agrees: bool | None

    def lines(self) -> tuple[str, ...]:
        """The result in words."""
        out = [f"ITA {self.ita_deg:.0f} degrees, 95 % interval {self.low_deg:.0f} to {self.high_deg:.0f}",
               f"ITA classes in it: {', '.join(self.classes)}",
               "A measure of this photo: its exposure and white balance are not known. Not a Fitzpatrick type."]
        if self.sides_agree is False:
            out.append("The cheeks differ in lightness: the light comes from one side, or they do.")
        if self.forehead_agrees is False:
            out.append("The forehead differs in lightness from the cheeks.")
        return tuple(out + [f"{name} left out: {why}" for name, why in self.left_out.items()])

    def told(self) -> dict:
        """The result as plain values."""
        return {"ita_deg": round(self.ita_deg, 1), "interval95_deg": [round(self.low_deg, 1), round(self.high_deg, 1)],
                "ita_classes_in_interval": list(self.classes), "between_patches_sd_deg": round(self.here_deg, 1),
                "patches": {p.name: {"lab": [round(float(v), 1) for v in p.lab], "lab_as_seen":
                            [round(float(v), 1) for v in p.seen_lab], "ita_deg": round(p.ita_deg, 1)}
                            for p in self.patches}, "left_out": dict(self.left_out), "cheeks_agree": self.sides_agree,
                "forehead_agrees": self.forehead_agrees, "note": "depends on the photo's exposure and white balance; "
                "not a Fitzpatrick type"}


def skin_tone(picture: UInt8[np.ndarray, "h w 3"], marks: Landmarks2D, camera: Camera, mesh: Mesh, rasterize: Rasterize,
              options: ToneOptions = DEFAULTS) -> SkinTone:
    """The skin tone of a photographed face.

    picture: sRGB. marks: its detected points. camera, mesh: the fitted head (mm), which tells what is seen face on.
    InputRefused: a grey, burnt out or dark picture, a colour cast that leaves skin no yellow, or no patch in view.
    """
    share = min(FACE_PX / max(float(np.ptp(marks.points[:, 1])), 1.0), 1.0)
    size = (max(round(picture.shape[1] * share), 1), max(round(picture.shape[0] * share), 1))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if share < 1 else picture
    points = (marks.points + 0.5) * (np.array(size) / [picture.shape[1], picture.shape[0]]) - 0.5
    normals = normals_seen(camera.resized(size), mesh, rasterize)
    open_to = normals[..., 0] > LEAST_COSINE
    patches, left_out = [], {}
    areas = {name: turn * signed_area(points[list(outline)]) for (name, outline), turn in zip(
        outlines().items(), (1, -1, 1), strict=True)}
    for name, outline in outlines().items():
        hidden = areas[name] < LEAST_AREA * max(areas.values())
        found = "out of view" if hidden else patch_of(name, small, points[list(outline)], open_to)
        if isinstance(found, str):
            left_out[name] = found
        else:
            patches.append(found)
    if not patches:
        why = "; ".join(sorted(set(left_out.values())))
        raise InputRefused("no_skin", f"No skin could be measured: {why}.",
                           "Use an evenly lit colour photo of the bare face from the front, not too dark or bright.")
    return toned(flattened(patches, small, normals), left_out, options, (picture.shape[0], picture.shape[1]))


def signed_area(outline_px: Float[np.ndarray, "n 2"]) -> float:
    """Of a polygon, px2: positive clockwise on the picture. A patch on the far side of the head turns round."""
    x, y = outline_px.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def outlines() -> dict[str, tuple[int, ...]]:
    """Landmarks around each patch."""
    return {"right cheek": CHEEK_RIGHT, "left cheek": tuple(int(t) for t in mirror478()[list(CHEEK_RIGHT)]),
            "forehead": FOREHEAD}


def normals_seen(camera: Camera, mesh: Mesh, rasterize: Rasterize) -> Float[np.ndarray, "h w 3"]:
    """Unit normals of what each pixel shows: towards the camera, to the picture's right, up; zero beside the head."""
    seen = rasterize(mesh, camera)
    normal = seen.interpolate(mesh.vertex_normals(), mesh.faces).astype(float) @ camera.cam_from_head[:3, :3].T
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-9)
    return np.stack([-normal[..., 2], normal[..., 0], -normal[..., 1]], -1)


def flattened(patches: Sequence[Patch], picture: UInt8[np.ndarray, "h w 3"],
              normals: Float[np.ndarray, "h w 3"]) -> tuple[Patch, ...]:
    """The patches as if they faced the camera: the light k that explains all of them is taken out."""
    rgb = picture.astype(float) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    bright = linear @ [0.2126, 0.7152, 0.0722]
    middle = float(np.median(np.concatenate([bright[p.used] for p in patches])))
    normal_matrix = np.diag([0.0, 1.0, 1.0]) / (SLOPE_SD * middle) ** 2
    right = np.zeros(3)
    for p in patches:
        weight = SAY / p.used.sum() / (LIGHT_NOISE * middle) ** 2
        normal_matrix += weight * normals[p.used].T @ normals[p.used]
        right += weight * normals[p.used].T @ bright[p.used]
    light = np.linalg.solve(normal_matrix, right)
    out = []
    for p in patches:
        share = float(np.clip((normals[p.used] @ light).mean() / light[0], 0.2, 2.0))
        out.append(dataclasses.replace(p, lab=exposed(p.seen_lab, 1 / share)))
    return tuple(out)


def patch_of(name: str, picture: UInt8[np.ndarray, "h w 3"], outline_px: Float[np.ndarray, "n 2"],
             open_to: Bool[np.ndarray, "h w"]) -> Patch | str:
    """A patch, or why there is none."""
    hull = cv2.convexHull(np.rint(outline_px).astype(np.int32))
    whole = cv2.fillConvexPoly(np.zeros(picture.shape[:2], np.uint8), hull, 1) > 0
    inside = whole & open_to
    if inside.sum() < max(LEAST_PIXELS, LEAST_PART * whole.sum()):
        return "out of view"
    full = (picture.max(2) <= MOST_CHANNEL) & (picture.min(2) >= LEAST_CHANNEL)
    if (inside & full).sum() < LEAST_PART * inside.sum():
        return "burnt out or black"
    used = inside & full
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).astype(float)
    for _ in range(4):
        values = lab[used]
        centre = np.median(values, axis=0)
        spread = np.maximum(1.48 * np.median(np.abs(values - centre), axis=0), FLOOR)
        used = inside & full & (np.abs(lab - centre) < NEAR * spread).all(2)
        if used.sum() < LEAST_PART * LEAST_PIXELS:
            return "too uneven"
    values = lab[used]
    colour = values.mean(0)
    if np.hypot(*colour[1:]) < GREY_CHROMA or colour[2] <= 0:
        return "no skin colour: a grey picture, or a colour cast"
    return Patch(name=name, seen_lab=colour, lab=colour, used=used)


def toned(patches: tuple[Patch, ...], left_out: dict[str, str], options: ToneOptions,
          size_hw: tuple[int, int]) -> SkinTone:
    """The patches together: their median colour; one that departs from two that agree is in a shadow or a glare."""
    light = np.array([p.lab[0] for p in patches])
    kept = patches
    if len(patches) == 3:
        off = np.abs(light - np.median(light))
        odd = int(np.argmax(off))
        others = [k for k in range(3) if k != odd]
        if off[odd] > 2 * AGREE_L and abs(light[others[0]] - light[others[1]]) < AGREE_L:
            left_out = {**left_out, patches[odd].name: "in a shadow or a glare: much darker or lighter than the rest"}
            kept = tuple(patches[k] for k in others)
    lab = np.mean([p.lab for p in kept], axis=0)
    angles = np.array([p.ita_deg for p in kept])
    here = max(float(angles.std(ddof=1)), LEAST_DEG) if len(kept) > 1 else 2 * LEAST_DEG
    low, high = interval_deg(lab, here, options)
    by_name = {p.name: p for p in patches}
    return SkinTone(ita_deg=ita_deg(lab[0], lab[2]), low_deg=low, high_deg=high, here_deg=here,
                    classes=classes_between(low, high), patches=tuple(grown(p, size_hw) for p in kept),
                    left_out=left_out, sides_agree=agree(by_name, ("left cheek",), ("right cheek",)),
                    forehead_agrees=agree(by_name, ("left cheek", "right cheek"), ("forehead",)))


def agree(patches: Mapping[str, Patch], some: Sequence[str], others: Sequence[str]) -> bool | None:
    """Whether two groups of patches look equally light; None when one was not measured."""
    groups = [[patches[n].seen_lab[0] for n in names if n in patches] for names in (some, others)]
    if not all(groups):
        return None
    return bool(abs(np.mean(groups[0]) - np.mean(groups[1])) < AGREE_L)


def grown(patch: Patch, size_hw: tuple[int, int]) -> Patch:
    """The patch with its place at the photo's own size."""
    used = cv2.resize(patch.used.astype(np.uint8), (size_hw[1], size_hw[0]), interpolation=cv2.INTER_NEAREST) > 0
    return dataclasses.replace(patch, used=used)


def interval_deg(lab: Float[np.ndarray, "3"], here_deg: float, options: ToneOptions) -> tuple[float, float]:
    """The 95 % interval: the furthest that exposure, white balance or the patches' spread alone move the angle, joined
    as independent errors on either side."""
    middle = ita_deg(lab[0], lab[2])
    stops, white = WITHIN_95 * options.exposure_stops, WITHIN_95 * options.white
    brighter = [exposed(lab, 2.0**s) for s in (-stops, stops)]
    exposures = [ita_deg(float(c[0]), float(c[2])) for c in brighter]
    tinted = [ita_deg(lab[0], lab[2] + s) for s in (-white, white)]
    ends = []
    for side in (min, max):
        parts = [side(exposures) - middle, side(tinted) - middle, WITHIN_95 * here_deg]
        ends.append(float(np.sqrt(np.sum(np.square(parts)))))
    return max(middle - ends[0], -90.0), min(middle + ends[1], 90.0)


def exposed(lab: Float[np.ndarray, "3"], factor: float) -> Float[np.ndarray, "3"]:
    """The colour of the same skin in light multiplied by `factor`: X, Y and Z all scale (CIE 15, 1976 L*a*b*)."""
    y = (lab[0] + 16) / 116
    x, y, z = (lab_f(lab_f_inverse(float(v)) * factor) for v in (y + lab[1] / 500, y, y - lab[2] / 200))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def lab_f(t: float) -> float:
    """CIELAB's compression of light: a cube root, straight near black."""
    return float(np.cbrt(t)) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29


def lab_f_inverse(v: float) -> float:
    """Its inverse."""
    return v**3 if v > 6 / 29 else 3 * (6 / 29) ** 2 * (v - 4 / 29)


def classes_between(low_deg: float, high_deg: float) -> tuple[str, ...]:
    """Names of the ITA classes that an interval touches, lightest first."""
    uppers = [np.inf, *(least for least, _ in CLASSES)]
    lowers = [*(least for least, _ in CLASSES), -np.inf]
    names = [*(name for _, name in CLASSES), DARKEST]
    rows = zip(names, lowers, uppers, strict=True)
    return tuple(name for name, least, most in rows if high_deg > least and low_deg <= most)
