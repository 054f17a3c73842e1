"""Guard: what a photoreal picture must keep before anybody sees it. It fails closed.

Every check gives a value, its limit and a plain sentence. A check that breaks counts as failed; one that cannot be done
says so ("not measurable", "not checked") and never reads as passed. When one fails the plain render is shown instead,
labelled, with the reason (`shown`). Which checks, which limits and why: docs/guard.md.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from skimage.color import deltaE_ciede2000

from core.channels import any_of, length
from core.correspondence import Correspondence
from core.records import record
from synth.achieved import Achieved, achieved, carried, in_sight
from synth.advancing import hidden_mm
from synth.findings import Check, Verdict, judge
from synth.metrics.pixels import ssim_of_grey
from synth.strokes import stroked_mm2
from synth.surroundings import checks_on, surroundings
from synth.tears import torn_mm2
from synth.within import GRAIN_MM, GRAIN_PX, averaged, grain

Embed = Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "d"]]
"""A face recognition model that the user holds: a whole picture to a vector. ValueError: it finds no face."""


@record
class GuardOptions:
    """Limits. share: achieved over asked motion; sides: its left over its right.

    error_px: how exact flow is; over the asked motion it widens both limits. least_px: smaller motions cannot be
    measured; largest_spread: nor can those whose two measurements differ by more.
    tint: CIEDE2000 between the mean colours; blotch: between local colours, 95th percentile. structure: SSIM against
    the reference, mean in the mask. grain: strength of the finest detail over the reference's: smoothed skin falls
    below, invented pores or noise lie above. likeness_drop: by how much the identity model's cosine may fall below the
    reference's. missed: share of the clearly moving pixels that the mask may leave out. torn_mm2: new edges between
    skin drawn from places far apart. stroked_mm2: hair drawn out into lines. stained_mm2: what stands before the wall
    that the photo does not have there; bulge_mm: by how much a new bulge of the outline stands out; hidden_mm: of an
    outline that advances, what another thing hides in the photo.
    """

    share: tuple[float, float] = (0.8, 1.2)
    sides: tuple[float, float] = (0.85, 1.18)
    error_px: float = 0.1
    least_px: float = 0.5
    largest_spread: float = 0.15
    tint: float = 2.0
    blotch: float = 8.0
    structure: float = 0.75
    grain: tuple[float, float] = (0.85, 1.3)
    likeness_drop: float = 0.1
    missed: float = 0.002
    torn_mm2: float = 3.0
    stroked_mm2: float = 23.0
    stained_mm2: float = 0.8
    bulge_mm: float = 0.5
    hidden_mm: float = 1.0


GUARD = GuardOptions()
HIDDEN = ("The photo shows the skin that the plan brings before the wall.",
          "What the plan brings out before the wall lies behind the nose, or what else stands nearer, in this photo: "
          "it shows none of that skin. Take less, or a photo that is turned less.")
FOLLOWS_MM = 0.5
"""Skin drawn from so far beside where the plan alone has it follows other skin."""
SIDE_BY_SIDE = ThreadPoolExecutor(2)
"""The motion, which takes longest, is measured on one core while the rest is looked at on another;"""
LARGE = 15_000_000
"""but in pictures of more values one after the other, for each takes memory."""


@record
class Shown:
    """What a person gets to see. photoreal: False for the plain render that stands in. reason: why it does, or ''."""
    picture: UInt8[np.ndarray, "h w 3"]
    photoreal: bool
    label: str
    reason: str


@record
class Pair:
    """What the checks look at: whole pictures, and the window of what may change.

    reference: the window as it should come out; parts: pixels of the window on the patient's left and right.
    """

    before: UInt8[np.ndarray, "h w 3"]
    after: UInt8[np.ndarray, "h w 3"]
    asked: Correspondence
    reference: UInt8[np.ndarray, "a b 3"]
    judged: Float[np.ndarray, "a b"]
    parts: Mapping[str, Bool[np.ndarray, "a b"]]

    @property
    def inside_before(self) -> UInt8[np.ndarray, "a b 3"]:
        """The window before."""
        return np.ascontiguousarray(self.before[self.asked.window])

    @property
    def inside_after(self) -> UInt8[np.ndarray, "a b 3"]:
        """The window after."""
        return np.ascontiguousarray(self.after[self.asked.window])


def guard(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "..."], asked: Correspondence | None,
          lateral_mm: Float[np.ndarray, "a b"] | None = None, reference: UInt8[np.ndarray, "..."] | None = None,
          light: Float[np.ndarray, "..."] | None = None, embed: Embed | None = None,
          drawn_px: Float[np.ndarray, "..."] | None = None, person: Bool[np.ndarray, "..."] | None = None,
          options: GuardOptions = GUARD) -> Verdict:
    """Check a picture of the result against the frame it was made from. Nothing is raised: what breaks has failed.

    asked: the plan's motion and mask in this camera (`render.flow.correspondence(...).correspondence`); None when the
    plan changes nothing there, and then the picture must be the frame itself.
    lateral_mm: x in the head frame of what each pixel of the window shows after (`after.interpolate(vertices[:, :1],
    faces)[..., 0]`), which tells the patient's left (> 0) from the right; without it the sides are not told apart.
    reference: a picture of the whole size that colour and structure are held against: for the generative modes the
    warp3d result. Without it the frame with its skin carried along, times `light`, the factor (window, one or three
    channels) by which the skin's new angles change its brightness (`synth.relight.light_ratio`; None: by nothing).
    embed: the user's identity model. drawn_px: where no other picture of the person was drawn from, from where each
    pixel of the window was, relative to it (`synth.warp3d.Warped`); it is asked for tears. person: who is seen in the
    frame, roughly, where no other tells what lies behind: the outline is checked then, and the wall beside it.
    """
    if after.shape != before.shape or after.dtype != np.uint8:
        return Verdict(checks=(Check(
            name="size", status="failed", value=None, limit="as the frame",
            sentence=f"The picture is {after.shape} of {after.dtype}, the frame {before.shape} of 8 bits."),))
    if asked is None:
        return Verdict(checks=(unchanged(before, after, np.zeros(before.shape[:2], bool)),))
    try:
        pair = prepared(before, after, asked, lateral_mm, reference, light)
        if drawn_px is not None and reference is None:
            pair = dataclasses.replace(pair, judged=pair.judged * told(asked, drawn_px))
    except Exception as error:  # fail closed: an input that cannot be read must not pass
        return Verdict(checks=(broken("inputs", error),))
    steps: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("outside", lambda: [unchanged(before, after, whole_mask(pair) > 0)]),
        ("coverage", lambda: [coverage(pair, options)]),
        ("tears", lambda: [] if drawn_px is None else [tears(pair, drawn_px, options)]),
        ("strokes", lambda: [] if drawn_px is None else [strokes(pair, drawn_px, options)]),
        ("motion", lambda: motion(pair, options)),
        ("outline", lambda: [] if person is None else outline(pair, person, options)),
        ("colour", lambda: colour(pair, options)),
        ("structure", lambda: structure(pair, options)),
        ("likeness", lambda: likeness(pair, embed, options))]
    in_turn = SIDE_BY_SIDE.map if before.size <= LARGE else map
    return Verdict(checks=tuple(check for found in in_turn(attempted, *zip(*steps, strict=True)) for check in found))


def shown(verdict: Verdict, photoreal: UInt8[np.ndarray, "h w 3"], plain: UInt8[np.ndarray, "h w 3"],
          mode: str = "warp3d") -> Shown:
    """The photoreal picture when it passed, else the plain render, said so with the reason; both with their label."""
    if verdict.passed:
        open_ones = "; ".join(c.sentence for c in verdict.open)
        return Shown(picture=photoreal, photoreal=True, label=f"Simulation ({mode})", reason=open_ones)
    why = " ".join(c.sentence for c in verdict.failed) or "Nothing about the picture could be checked."
    return Shown(picture=plain, photoreal=False, reason=why,
                 label=f"Plain render: the photoreal picture ({mode}) was refused")


def prepared(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"], asked: Correspondence,
             lateral_mm: Float[np.ndarray, "a b"] | None, reference: UInt8[np.ndarray, "..."] | None,
             light: Float[np.ndarray, "..."] | None) -> Pair:
    """The pictures with what is known of them; ValueError when a window or a size does not fit."""
    shape = asked.mask.shape
    if before[asked.window].shape[:2] != shape or asked.left < 0 or asked.top < 0:
        raise ValueError("the plan's window lies outside the picture")
    if not np.isfinite(asked.flow_px).all() or not np.isfinite(asked.mask).all():
        raise ValueError("the plan's motion or mask holds what is no number")
    if lateral_mm is not None and lateral_mm.shape != shape:
        raise ValueError("lateral_mm has another size than the window")
    if reference is not None and reference.shape != before.shape:
        raise ValueError("the reference has another size than the frame")
    judged, expected = asked.mask, None if reference is None else reference[asked.window]
    if expected is None:
        expected = carried(np.ascontiguousarray(before[asked.window]), asked)
        if light is not None:
            factor = light.reshape(*shape, -1)
            expected = np.rint(np.clip(expected * factor, 0, 255)).astype(np.uint8)
        judged = judged * (in_sight(asked) & asked.moved)  # the frame does not tell what comes into sight
    parts = {"face": np.ones(shape, bool)} if lateral_mm is None else {"left": lateral_mm > 0, "right": lateral_mm < 0}
    return Pair(before=before, after=after, asked=asked, reference=np.ascontiguousarray(expected), judged=judged,
                parts=parts)


def told(asked: Correspondence, drawn_px: Float[np.ndarray, "..."]) -> Bool[np.ndarray, "a b"]:
    """Pixels whose skin the plan itself brings there: what follows a contour because no picture shows what it uncovers
    is no skin that the carried frame could tell; a nostril would be expected to smear over the lip."""
    if drawn_px.shape != asked.flow_px.shape:
        return np.ones(asked.mask.shape, bool)  # the check of tears fails for it
    return np.asarray(length(drawn_px - asked.flow_px) < FOLLOWS_MM * asked.px_per_mm)


def attempted(name: str, step: Callable[[], Iterable[Check]]) -> list[Check]:
    """The step's findings; a step that breaks has failed."""
    try:
        return list(step())
    except Exception as error:  # fail closed
        return [broken(name, error)]


def broken(name: str, error: Exception) -> Check:
    """A check that could not be made."""
    return Check(name=name, status="failed", value=None, limit="", sentence=f"The check of {name} broke: {error}.")


def whole_mask(pair: Pair) -> Float[np.ndarray, "h w"]:
    """The mask at the picture's size."""
    out = np.zeros(pair.before.shape[:2], np.float32)
    out[pair.asked.window] = pair.asked.mask
    return out


def unchanged(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"],
              allowed: Bool[np.ndarray, "h w"]) -> Check:
    """Outside what may change every byte must be the frame's."""
    count = float((any_of(before != after) & ~allowed).sum())
    return judge("outside", count, None, 0.0, "Outside the operated area the picture is the photo, byte for byte.",
                 f"{count:.0f} pixels outside the operated area were changed.")


def coverage(pair: Pair, options: GuardOptions) -> Check:
    """The mask must hold what the plan moves, or the picture shows a torn face."""
    clear = pair.asked.moved & (length(pair.asked.flow_px) >= 1.0)
    share = float((pair.asked.mask[clear] <= 0).mean()) if clear.any() else 0.0
    return judge("coverage", share, None, options.missed, "The mask holds everything that the plan moves.",
                 f"The mask leaves out {share:.1%} of what the plan moves.")


def tears(pair: Pair, drawn_px: Float[np.ndarray, "..."], options: GuardOptions) -> Check:
    """Neighbours drawn from far apart must not show an edge that the photo has at neither place."""
    torn = torn_mm2(pair.inside_before, pair.inside_after, drawn_px, pair.asked)
    return judge("tears", torn, None, options.torn_mm2, f"The skin is whole ({torn:.1f} mm2 of new edges).",
                 f"The skin is torn: {torn:.1f} mm2 show edges that the photo does not have.")


def strokes(pair: Pair, drawn_px: Float[np.ndarray, "..."], options: GuardOptions) -> Check:
    """Hair must not be stretched into lines."""
    drawn = stroked_mm2(pair.inside_before, pair.inside_after, drawn_px, pair.asked)
    return judge("strokes", drawn, None, options.stroked_mm2, f"Hair is kept ({drawn:.0f} mm2 of strokes).",
                 f"Hair is drawn out into lines over {drawn:.0f} mm2: this photo does not show the skin that comes to "
                 "light there. A smaller change, or a photo of shaven skin, may do.")


def outline(pair: Pair, person: Bool[np.ndarray, "..."], options: GuardOptions) -> list[Check]:
    """Where the outline moved the wall must be the wall, and the outline as even as the plan and the photo have it."""
    if person.shape != pair.before.shape[:2]:
        raise ValueError("the person has another size than the frame")
    inside = np.ascontiguousarray(person[pair.asked.window])
    hidden = judge("hidden", hidden_mm(inside, pair.asked), None, options.hidden_mm, *HIDDEN)
    found = surroundings(pair.inside_before, pair.inside_after, inside, pair.asked)
    return [hidden, *checks_on(found, options.stained_mm2, options.bulge_mm)]


def motion(pair: Pair, options: GuardOptions) -> list[Check]:
    """Achieved over asked motion of each side, and one side's over the other's."""
    found = achieved(pair.inside_before, pair.inside_after, pair.asked, pair.parts)
    checks = verdicts(found, found, options)
    if any(c.status != "passed" for c in checks):  # is it the picture, or can the flow not tell in this photo?
        honest = achieved(pair.inside_before, pair.reference, pair.asked, pair.parts)
        checks = verdicts(found, honest, options)
    return checks


def verdicts(found: Mapping[str, Achieved], honest: Mapping[str, Achieved], options: GuardOptions) -> list[Check]:
    """The checks on the parts' motion. honest: what the same measurement finds in the reference."""
    checks = [judged_share(name, part, honest[name], options) for name, part in found.items()]
    title = "motion left/right"
    if len(found) == 1:
        return [*checks, Check(name=title, status="not checked", value=None, limit="",
                               sentence="The sides were not told apart.")]
    told = [part.share for part, check in zip(found.values(), checks, strict=True) if check.status != "not measurable"]
    if len(told) < 2:
        return [*checks, Check(name=title, status="not measurable", value=None, limit="",
                               sentence="The sides cannot be compared: the motion of one, or of both, cannot be "
                               "measured here.")]
    left, right = told
    ratio = left / right if abs(right) > 1e-3 else float("inf")  # no motion at all has no ratio
    if honest is not found:  # what the flow misreads in the reference, it misreads here
        own = [part.share for part in honest.values()]
        ratio *= own[1] / own[0]
    slack = sum(options.error_px / part.asked_px for part in found.values())
    low, high = options.sides[0] * (1 - slack), options.sides[1] * (1 + slack)
    return [*checks, judge(title, ratio, round(low, 2), round(high, 2), "Both sides show the plan alike.",
                           f"The left side shows {left:.0%} of its motion and the right side {right:.0%}.")]


HONEST = 0.1
"""Where the flow misreads the reference by more than this share, or finds no end, it cannot tell in this photo;"""
APART = 0.35
"""but a picture that reads so far from the reference, where that has an end within as much, does not show the plan."""


def judged_share(name: str, found: Achieved, honest: Achieved, options: GuardOptions) -> Check:
    """The finding on one part's motion."""
    slack = options.error_px / max(found.asked_px, options.error_px)
    low, high = round(options.share[0] - slack, 2), round(options.share[1] + slack, 2)
    title, limit = f"motion {name}", f"{low} to {high}"
    where = "The face" if name == "face" else f"The patient's {name} side"
    if not found.measurable(options.least_px, np.inf):
        why = (f"{where} hardly moves within this picture ({found.asked_px:.1f} px), too little for its motion to be "
               "measured." if found.asked_px < options.least_px else
               f"{where} shows too little skin that moves and was in sight before for its motion to be measured.")
        return Check(name=title, status="not measurable", value=None, limit="", sentence=why)
    wrong = f"{where} shows {found.share:.0%} of the planned motion instead of all of it."
    if honest is not found and (abs(honest.share - 1) > HONEST or honest.spread > options.largest_spread):
        if honest.spread < APART < abs(found.share - honest.share):
            return Check(name=title, status="failed", value=found.share, limit=limit, sentence=wrong)
        return Check(name=title, status="not measurable", value=found.share, limit=limit,
                     sentence=f"{where} has too little texture in this photo for its motion to be measured.")
    if found.spread > options.largest_spread:
        return Check(name=title, status="failed", value=found.share, limit=limit,
                     sentence=f"{where} has lost the texture by which its motion could be measured.")
    return judge(title, found.share, low, high, f"{where} shows {found.share:.0%} of the planned motion.", wrong)


COLOUR_SIDE = 96
"""Colours are compared in a window shrunk to this longer side: tint and blotches, not grain."""


def colour(pair: Pair, options: GuardOptions) -> list[Check]:
    """CIEDE2000 between the result and what is expected: of the mean colours, and from place to place."""
    shrink = min(COLOUR_SIDE / max(pair.judged.shape), 1.0)
    size = (max(round(pair.judged.shape[1] * shrink), 1), max(round(pair.judged.shape[0] * shrink), 1))
    weight = cv2.resize(np.ascontiguousarray(pair.judged, np.float32), size, interpolation=cv2.INTER_AREA)
    if not (clear := weight > 0.5).any():
        return [Check(name="colour", status="not measurable", value=None, limit="",
                      sentence="Too little skin changes here to compare its colour.")]
    one, other = (averaged(p, pair.judged, weight, size) for p in (pair.inside_after, pair.reference))
    mean = [np.einsum("yx,yxc->c", weight, p) / weight.sum() for p in (one, other)]
    drift = float(deltaE_ciede2000(*mean))
    local = float(np.percentile(deltaE_ciede2000(one[clear], other[clear]), 95))
    lighter = "lighter" if mean[0][0] > mean[1][0] else "darker"
    return [judge("tint", drift, None, options.tint, f"Skin colour drifts by {drift:.1f} (CIEDE2000).",
                  f"The skin's colour has changed by {drift:.1f} (CIEDE2000) and is {lighter} than it should be."),
            judge("blotch", local, None, options.blotch, f"No place differs in colour by more than {local:.1f}.",
                  f"In places the colour is off by {local:.1f} (CIEDE2000).")]


def structure(pair: Pair, options: GuardOptions) -> list[Check]:
    """SSIM of the brightness against the reference, averaged over the mask; and how strong the finest detail is."""
    if min(pair.judged.shape) < 11 or pair.judged.sum() < 1:
        return [Check(name="structure", status="not measurable", value=None, limit="",
                      sentence="Too little skin changes here to compare its structure.")]
    made, right = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (pair.inside_after, pair.reference))
    value = float(np.average(ssim_of_grey(made, right), weights=pair.judged))
    fine_px = float(np.clip(GRAIN_MM * pair.asked.px_per_mm, *GRAIN_PX))
    ratio = grain(made, pair.judged, fine_px) / grain(right, pair.judged, fine_px)
    strength = "smoothed" if ratio < 1 else "roughened"
    return [judge("structure", value, options.structure, None, f"The skin's structure is kept (SSIM {value:.2f}).",
                  f"The operated area no longer looks like this person's skin (SSIM {value:.2f})."),
            judge("grain", ratio, *options.grain, f"The skin's grain is kept ({ratio:.0%}).",
                  f"The skin was {strength}: {ratio:.0%} of its fine detail.")]


def likeness(pair: Pair, embed: Embed | None, options: GuardOptions) -> list[Check]:
    """Cosines of the identity model: of the whole picture, inside the mask and outside it, with the rest blanked.

    Outside cannot change while the bytes there do not; it stands beside the others to show what pasting alone gives.
    The operation itself changes them, so they are held against the reference's, not against a fixed number; and the
    part inside the mask apart, because the pasted rest of the photo alone makes any face look right.
    """
    if embed is None:
        return [Check(name="likeness", status="not checked", value=None, limit="",
                      sentence="No identity model is installed, so the likeness was not checked.")]
    expected = pair.before.copy()
    blended = pair.reference + (1 - pair.judged[..., None]) * (pair.inside_before.astype(float) - pair.reference)
    expected[pair.asked.window] = np.rint(np.clip(blended, 0, 255))
    inside, blank = whole_mask(pair)[..., None] > 0, np.uint8(pair.before.mean((0, 1)))
    checks = []
    for name, cut in (("whole", lambda p: p), ("inside", lambda p: np.where(inside, p, blank)),
                      ("outside", lambda p: np.where(inside, blank, p))):
        try:
            own, right = (vector(embed, np.ascontiguousarray(cut(p))) for p in (pair.before, expected))
        except ValueError as error:
            checks.append(Check(name=f"likeness {name}", status="not measurable", value=None, limit="",
                                sentence=f"The identity model cannot use this photo ({name}): {error}."))
            continue
        made = vector(embed, np.ascontiguousarray(cut(pair.after)))  # what fails here alone fails the check
        drop = float(own @ right - own @ made)
        checks.append(judge(f"likeness {name}", drop, None, options.likeness_drop,
                            f"The person stays recognisable ({name}: cosine {own @ made:.2f}).",
                            f"The person is less recognisable than the plan explains ({name}: cosine "
                            f"{own @ made:.2f} instead of {own @ right:.2f})."))
    return checks


def vector(embed: Embed, picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "d"]:
    """The embedding with length one; ValueError when it is none."""
    values = np.asarray(embed(picture), float).ravel()
    length = float(np.linalg.norm(values))
    if not np.isfinite(length) or length == 0:
        raise ValueError("the identity model gave no usable vector")
    return values / length
