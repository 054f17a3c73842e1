"""Verdict on a capture: every check with its value, unit, bound and reason, and one sentence on what to film again.

Angles are in degrees and distances in cm here, because people read them. Bounds are round numbers. Where a reason says
"measured", the films and numbers are in docs/capture.md.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from core.records import record
from recon.drift import Change, brightness, expressions, same_pose
from recon.eyes import open_eyes
from recon.face478 import IRIS_WIDTH, OUTER_EYE
from recon.quality import Measure, drifts
from recon.scale import IRIS_MM, IRIS_SD

Level = Literal["green", "amber", "red"]

CORNERS_MM, CORNERS_SD = 87.0, 0.05
"""Outer eye corner to outer eye corner, adults (women 85.6, men 88.9; sd 4.9 % over both)."""
USUAL_FOCAL, USUAL_FOCAL_SD = 0.72, 0.15
"""A phone's main camera while filming, of the picture's longer side (24 to 28 mm equivalent, stabilised), and how far
phones differ; without a statement in the file nothing better is known."""
FRONT_DEG = 20.0
SHARP = {"green": "sharp", "amber": "soft", "red": "blurred"}
COPY_AGAIN = "Copy the file from the phone once more: it is cut off or damaged."
SHUT = 0.08
"""15 blinks a minute of 0.3 s shut the eyes in 7.5 % of the frames."""
PLENTY_OF_BITS = {"hevc": 0.015, "vp9": 0.015, "av1": 0.015}
"""Bits per pixel; 0.03 for other codecs, which need about twice as many (see docs/capture.md)."""


@record
class Check:
    """One line of the verdict.

    value: for people, with its unit. number and unit: the same for programs. bound: what is green. why: where the bound
    comes from and what is assumed. advice: what to do when it is not green.
    """

    name: str
    value: str
    level: Level
    advice: str
    number: float
    unit: str
    bound: str
    why: str


@record
class Counts:
    """How many frames (or photos) there were, were analysed, showed the face, and were chosen (photos: or may serve by
    their outline). in_profile: of a film's frames without a face, those at the ends of its turn."""

    given: int
    analysed: int
    with_face: int
    chosen: int
    in_profile: int = 0


@record
class Lens:
    """Focal length in px, its relative standard deviation, and whether the files stated it."""

    focal_px: float
    stated: bool

    @property
    def sd(self) -> float:
        """2 % when stated: focus breathing and stabilisation."""
        return 0.02 if self.stated else USUAL_FOCAL_SD


@record
class Clip:
    """Facts of the file: times of the frames with a face, upright picture size, bits per pixel (None for photos);
    damaged: a part of it could not be read."""

    times_s: tuple[float, ...]
    size_wh: tuple[int, int]
    bits_per_px: float | None = None
    codec: str = ""
    damaged: bool = False


@record
class Distance:
    """Phone to eyes, mm, 1 sd of it, and what it was measured by (iris or eye corners)."""

    mm: float
    sd_mm: float
    by: str


def lens_of(hints_px: Sequence[float | None], longest_px: Sequence[int]) -> Lens:
    """The median stated focal length, or a phone's usual one for pictures of that size."""
    known = [f for f in hints_px if f is not None]
    if known:
        return Lens(focal_px=float(np.median(known)), stated=True)
    return Lens(focal_px=USUAL_FOCAL * float(np.median(longest_px)), stated=False)


def level(value: float | int | np.floating, green: float | int, amber: float | int) -> Level:
    """green at or above `green`, amber at or above `amber`."""
    return "green" if value >= green else "amber" if value >= amber else "red"


def checks(kind: str, measures: Sequence[Measure], chosen: Sequence[int], counts: Counts, lens: Lens,
           clip: Clip) -> list[Check]:
    """Every check of a capture that could be measured, in the order a person would ask."""
    film = kind == "video"
    moving = steadiness(measures, clip) if film else []
    return [*file_of(clip, counts), *coverage(film, measures, chosen, counts), *picture(film, measures, chosen, clip),
            *light(measures), *moving, *face(measures, chosen, lens)]


def file_of(clip: Clip, counts: Counts) -> list[Check]:
    """A file that is not whole, which explains what else is missing; nothing of one that is."""
    if not clip.damaged:
        return []
    return [Check(name="file", value="a part is missing", level="amber", number=float(counts.given), unit="frames read",
                  bound="whole", why="what could not be read may hold the sides that are missing",
                  advice=COPY_AGAIN)]


def coverage(film: bool, measures: Sequence[Measure], chosen: Sequence[int], counts: Counts) -> list[Check]:
    """From which sides the head was seen."""
    yaw = np.array([measures[k].angles_deg[0] for k in chosen])
    nod = float(np.ptp([measures[k].angles_deg[1] for k in chosen]))
    left, right, turn, gap = float(yaw.max()), float(-yaw.min()), float(np.ptp(yaw)), widest_gap(yaw)
    lost = 1 - (counts.with_face + counts.in_profile) / max(1, counts.analysed)
    aside = f", {counts.in_profile} in profile" if counts.in_profile else ""
    enough = 40 if film else 28
    sides = f"at least {enough}°"
    why = "three-quarter views show the side of the nose and the cheek; a photographer's are at about 35 degrees"
    whole = (2 * enough, 50 if film else 40)
    out = [
        Check(name=f"turn to the {side}", value=f"{max(turned, 0):.0f}°", level=level(turned, enough, 12),
              number=turned, unit="degrees", bound=sides, why=why,
              advice=f"Turn the head further to the patient's {side}, until the far ear disappears.")
        for side, turned in (("left", left), ("right", right))]
    out += [
        Check(name="turn in all", value=f"{turn:.0f}°", level=level(turn, *whole), number=turn, unit="degrees",
              bound=f"at least {whole[0]}°", why="depth comes from the turn: half of it, twice the error in depth",
              advice="Turn slowly to both sides, up to 60 degrees each."),
        Check(name="largest gap", value=f"{gap:.0f}°", number=gap, unit="degrees",
              level=level(-gap, -15 if film else -45, -25 if film else -60), bound=f"at most {15 if film else 45}°",
              why="skin looks alike in views up to 15 degrees apart; photos are matched by landmarks instead",
              advice="Turn more slowly and evenly." if film else "Add photos from the sides in between."),
        Check(name="number of views", value=str(counts.chosen), number=float(counts.chosen), unit="views",
              level=level(counts.chosen, 28 if film else 5, 3), bound=f"at least {28 if film else 5}",
              why="one view for every 4 degrees of 110" if film else "front, both three-quarter views, both sides",
              advice="Film 10 to 20 seconds." if film else "Add photos: five from evenly spread sides are better."),
        Check(name="face in view", value=f"{counts.with_face} of {counts.analysed}{aside}", number=1 - lost,
              unit="share",
              level=level(-lost, -0.05 if film else -0.45, -0.6), bound=f"at least {95 if film else 55} %",
              why="no face is found in full profiles, which are no loss; else the face stays in view in a film",
              advice="Keep the whole face in the picture.")]
    if film:
        out.insert(3, Check(name="nod", value=f"{nod:.0f}°", level=level(nod, 15, 0), number=nod, unit="degrees",
                            bound="at least 15°", why="shows the underside of nose and chin",
                            advice="Nod once, up and down, at the end."))
    return out


def picture(film: bool, measures: Sequence[Measure], chosen: Sequence[int], clip: Clip) -> list[Check]:
    """Size, sharpness, smear and compression."""
    size = float(np.median([m.face.height_px for m in measures]))
    sharp = float(np.median([measures[k].sharpness for k in chosen]))
    front = [measures[k].smear for k in chosen if abs(measures[k].angles_deg[0]) < 2 * FRONT_DEG]
    lost = max(0.0, 1 - float(np.percentile(front, 10))) if front else 0.0
    short = min(clip.size_wh)
    out = [
        Check(name="size of the picture", value=f"{clip.size_wh[0]} x {clip.size_wh[1]} px", number=float(short),
              unit="px (shorter side)", level=level(short, 720, 320), bound="at least 720",
              why="at 50 cm, 720 px across show 1.5 px per mm of skin", advice="Film at 1080p (or 720p at the least)."),
        Check(name="size of the face", value=f"{size:.0f} px", level=level(size, 250, 140), number=size,
              unit="px (hairline to chin)", bound="at least 250",
              why="250 px over a face of 180 mm are 1.4 px per mm: its grain is what views are matched by",
              advice="Come closer, or film at a higher resolution."),
        Check(name="sharpness", value=f"{SHARP[level(sharp, 12, 4)]} ({sharp:.0f})", level=level(sharp, 12, 4),
              number=sharp, unit="variance of the Laplacian of a 256 px face, x 10^4", bound="at least 12",
              why="measured: 20 to 190 in focus; a blur of 2 px takes portraits below 12",
              advice="Focus on the face, in brighter light, and wipe the lens.")]
    if film:
        out.append(Check(name="motion blur", value=f"{100 * lost:.0f} % lost", number=lost, unit="share",
                         level=level(-lost, -0.15, -0.6), bound="at most 15 %",
                         why="fine contrast sideways against up and down, tenth percentile of the front views; "
                             "measured: at most 0.07 without blur, 0.27 with a shutter open half of the time",
                         advice="Turn more slowly, in brighter light."))
    if film and clip.bits_per_px is not None:
        plenty = PLENTY_OF_BITS.get(clip.codec, 0.03)
        out.append(Check(name="compression", value=f"{clip.bits_per_px:.3f} bit/pixel", number=clip.bits_per_px,
                         unit="bit per pixel", level=level(clip.bits_per_px, plenty, plenty / 10),
                         bound=f"at least {plenty}",
                         why="phones write 0.1 to 0.3; at 0.013 (x264, crf 32) the grain of the skin is gone",
                         advice="Use the phone's own file, not one that was sent by a messenger."))
    return out


def light(measures: Sequence[Measure]) -> list[Check]:
    """Brightness of the face."""
    luma = float(np.median([m.luma for m in measures]))
    clipped = float(np.median([m.clipped for m in measures]))
    value = f"{100 * luma / 255:.0f} %" + (f", {100 * clipped:.0f} % burnt out" if clipped >= 0.05 else "")
    return [Check(name="brightness of the face", value=value, level=light_level(luma, clipped), number=luma,
                  unit="of 255", bound="24 to 84 %, and less than 5 % of the skin burnt out",
                  why="below, noise hides the grain; above, highlights have no colour",
                  advice="Use soft, even light from the front; not against a window.")]


def steadiness(measures: Sequence[Measure], clip: Clip) -> list[Check]:
    """What changed while filming; nothing when no side was seen twice."""
    pairs = same_pose(measures, clip.times_s)
    if not len(pairs):
        return []
    shade, parts = brightness(measures, pairs), expressions(measures, pairs, CORNERS_MM)
    worst = max(parts, key=lambda c: c.amount / c.bound)
    return [
        Check(name="change of light", value=f"{100 * (2 ** shade.amount - 1):.0f} %", number=shade.amount, unit="stops",
              level=level(-shade.amount, -0.25, -1.0), bound="at most 19 %",
              why="the same side seen twice, a quarter of a stop; measured: at most 0.03 stops with exposure locked, "
                  "0.6 when it drifts",
              advice="Lock exposure and focus: press long on the face on the screen until it says so."),
        Check(name="change of expression", value=f"{worst.amount:.0f} mm", number=worst.amount,
              unit=f"mm, {worst.name}", level=level(-worst.amount / worst.bound, -1.0, -2.5),
              bound=f"at most {worst.bound:.0f} mm",
              why="the same side seen twice, for an adult of usual size; noise of the points is 3 mm, of the jaw 5",
              advice=f"Keep the face at rest and the mouth closed: the {worst.name} is not the same at "
                     f"{moments(worst, clip)}.")]


def moments(change: Change, clip: Clip) -> str:
    """The two moments that differ most."""
    first, second = (clip.times_s[k] for k in change.frames)
    return f"{first:.1f} s and {second:.1f} s"


def face(measures: Sequence[Measure], chosen: Sequence[int], lens: Lens) -> list[Check]:
    """Calm, eyes, glasses, distance."""
    drift = drifts(measures)
    calm = float(np.mean([drift[k].amount < 1 for k in chosen]))
    front = [m for m in measures if abs(m.angles_deg[0]) < FRONT_DEG] or list(measures)
    rims = float(np.median([m.rims for m in front]))
    return [
        Check(name="calm face", value=f"{100 * calm:.0f} % of views", level=level(calm, 0.8, 0.5), number=calm,
              unit="share", bound="at least 80 %", why="mouth, brows and smile against the same side's usual",
              advice="Keep the mouth closed and the face at rest."),
        eyes(measures),
        Check(name="glasses", value="none seen" if rims < 0.25 else "worn", level=level(-rims, -0.25, -9.0),
              number=rims, unit="darkness of lines under eyes and over the nose", bound="no dark lines: less than 0.25",
              why="measured: at most 0.13 on bare faces, 0.6 with black rims; rimless glasses are not seen",
              advice="Take the glasses off."),
        distance_check(distance(measures, lens))]


def eyes(measures: Sequence[Measure]) -> Check:
    """Whether the iris can give the scale, and blinks."""
    points = np.array([m.face.points_px[:, :2] for m in measures])
    yaw = np.array([m.angles_deg[0] for m in measures])
    opened = open_eyes(points)
    near = np.where(np.abs(yaw) < FRONT_DEG, opened.any(1), np.where(yaw > 0, opened[:, 0], opened[:, 1]))
    share = float(near.mean())
    front = np.abs(yaw) < FRONT_DEG
    no_iris = not near[front].any() if front.any() else share == 0
    return Check(name="eyes", value="no iris seen" if no_iris else f"open in {100 * share:.0f} %", number=share,
                 unit="share of the frames", level="amber" if no_iris else level(share, 1 - SHUT, 0.0),
                 bound=f"at least {100 * (1 - SHUT):.0f} %",
                 why="15 blinks a minute of 0.3 s shut them in 7.5 %; the iris, 11.7 mm wide, gives the scale",
                 advice="No iris seen: type the interpupillary distance, or film again with the eyes open." if no_iris
                 else "Keep the eyes open; blink before filming.")


def distance_check(found: Distance) -> Check:
    """Too near bends and blurs, too far is small; complained of only beyond one standard deviation."""
    cm, sd = found.mm / 10, found.sd_mm / 10
    near = level(cm + sd, 30, 20)
    return Check(name="distance", value=f"{cm:.0f} ± {sd:.0f} cm", number=cm, unit=f"cm (1 sd {sd:.0f}), by {found.by}",
                 level=near if near != "green" else level(-(cm - sd), -100, -200), bound="30 to 100 cm",
                 why="phone to eyes by the focal length, which films do not state (sd 15 %); nearer than 30 cm the "
                     "nose hides the cheeks and phones do not focus well",
                 advice="Hold the phone 40 to 60 cm away." if near != "green" else "Come nearer: 40 to 60 cm.")


def distance(measures: Sequence[Measure], lens: Lens) -> Distance:
    """Of the five most frontal frames: by the iris where it is seen, else by the outer eye corners."""
    frontal = sorted(measures, key=lambda m: abs(m.angles_deg[0]))[:5]
    points = np.array([m.face.points_px for m in frontal])
    seen = open_eyes(points[..., :2])
    iris = np.stack([length_px(points[..., :2], *ends) for ends in IRIS_WIDTH], 1)
    if seen.any():
        px, mm, sd, by = float(np.median(iris[seen])), IRIS_MM, IRIS_SD, "iris"
    else:
        px, mm, sd, by = float(np.median(length_px(points, *OUTER_EYE))), CORNERS_MM, CORNERS_SD, "eye corners"
    far = mm * lens.focal_px / max(px, 1.0)
    return Distance(mm=far, sd_mm=far * float(np.hypot(sd, lens.sd)), by=by)


def length_px(points: Float[np.ndarray, "n 478 d"], a: int, b: int) -> Float[np.ndarray, "n"]:
    """Distance of two points in each view."""
    return np.linalg.norm(points[:, a] - points[:, b], axis=1)


def light_level(luma: float, clipped: float) -> Level:
    """Brightness of the face and burnt-out skin together."""
    if clipped > 0.25 or luma < 25:
        return "red"
    return "green" if 60 <= luma <= 215 and clipped < 0.05 else "amber"


def widest_gap(yaw_deg: Float[np.ndarray, "n"]) -> float:
    """Largest step between neighbouring views."""
    return float(np.diff(np.sort(yaw_deg)).max(initial=0))


def sentence(results: Sequence[Check]) -> tuple[str, str]:
    """The verdict (good, usable, poor) and one plain sentence: what to do, and the value that asks for it."""
    red = [c for c in results if c.level == "red"]
    amber = [c for c in results if c.level == "amber"]
    if red:
        return "poor", "Film again for a result to rely on: " + listing([*red, *amber])
    if amber:
        return "usable", "Usable; for a better result: " + listing(amber)
    return "good", "A good capture: nothing needs to be filmed again."


def listing(results: Sequence[Check], most: int = 2) -> str:
    """What to do about the first checks, as part of a sentence."""
    def said(check: Check) -> str:
        advice = check.advice[0].lower() + check.advice[1:].rstrip(".")
        return advice if check.value in advice else f"{advice} ({check.name}: {check.value})"

    parts = [said(check) for check in results[:most]]
    more = f"; and {len(results) - most} more below" if len(results) > most else ""
    return "; ".join(parts) + more + "."
