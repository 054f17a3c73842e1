"""Warp3d: a person's own picture, bent as the operation bends the head.

Every pixel is fetched from where its skin lay before (backward warp), with three corrections: the motion of a contour
goes on beyond it (`contours`), what a silhouette uncovers is the backdrop (`backdrop`) or skin that other frames saw
(`reveal`), and skin that turned in the light is lit anew (`relight`). Where nothing moves, and outside the mask, the
picture stays as it is, byte for byte.
Letters: I frame, p pixel, u motion, q = p + u where it lay before, B backdrop, a matte of the person before. With
I = a F + (1 - a) B the picture after is a(q) F(q) + (1 - a(q)) B(p) = I(q) + (1 - a(q)) (B(p) - B(q)): it is I where
u = 0, and needs no F.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.channels import largest, length
from core.correspondence import Correspondence
from core.records import record
from synth.backdrop import BACKDROP, BackdropOptions, Plate, backdrop, matte, signed_distance, smoothstep
from synth.blur import blurred
from synth.contours import APART_MM, CONTOUR, Beyond, ContourOptions, beyond
from synth.far_eye import REACH_MM, with_eye
from synth.follow import GENTLE, STEEPEST, following, gentler
from synth.lobe import past_ears
from synth.nose_rims import rims_off
from synth.outlines import FAR_MM, OUTLINE, OutlineOptions, landing, shown_beside
from synth.pictured import outlined, pictured
from synth.register import Registered, skin_off
from synth.reveal import REVEAL, RevealOptions, adjoining, agreement, hidden, matched, occluded
from synth.shear import sheared
from synth.silhouette import outline_off

Skins = Callable[[], tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"]]]
"""The head's texture (sRGB 0..255) in the window, before and after."""
TAPER = 0.3
"""The mask's level from which the warp is whole; below, it fades to nothing."""
USUAL_MM = 1.5
"""The chin of a head from a good video lies so far off."""
UNSURE_MM, UNSURE_AGREE = 1.6, 20.0
"""A head that fits worse, as from three photographs, has wall and hair in its texture beside outlines: there hidden
skin is only taken from it where the stretched picture is nearly alike (grey levels)."""
FRAYS_MM = 1.8
"""The pictured outline of a head that fits worse lies among skin that moves otherwise from pixel to pixel."""
RIM = 3.0
"""So far (mm) from a contour the fitted head may have the pictured one."""
LEFT = 0.6
"""A pixel that shows so much more of the person than it would with all of the contour's motion shows a ghost."""
SPECK_PX = 0.5
"""A pixel that moves so much apart from the median of those around is a speck."""
EVEN_PX = 1.5
"""Over so much the motion is evened beside the outline of a head that fits worse (standard deviation)."""
BEYOND_MM = 12.0
"""So far beyond the mask what lies behind the person may be asked for: outlines are looked at beyond it."""
LEAST_PX, LEAST_FACTOR = 1e-3, 1e-3
"""Motion and change of brightness that leave no trace in a byte."""


@record
class WarpOptions:
    """The options of every part. evened: the motion of an outline's own pixels is evened, too (`despeckled`)."""

    contour: ContourOptions = CONTOUR
    outline: OutlineOptions = OUTLINE
    backdrop: BackdropOptions = BACKDROP
    reveal: RevealOptions = REVEAL
    evened: bool = False

    def loosened(self, misfit_mm: float) -> "WarpOptions":
        """The same for a head that fits worse, or better, than usual."""
        worse = misfit_mm - USUAL_MM
        rim, fade = (float(np.clip(1 + slope * worse, 0.8, most)) for slope, most in ((4.5, 3.8), (2.7, 2.75)))
        own = self.contour
        contour = dataclasses.replace(own, rim_mm=rim * own.rim_mm, fade_mm=fade * own.fade_mm)
        rim_mm = self.backdrop.rim_mm * float(np.clip(misfit_mm / USUAL_MM, 0.5, 1))
        behind = dataclasses.replace(self.backdrop, rim_mm=rim_mm)
        reveal = self.reveal
        if misfit_mm > UNSURE_MM:
            reveal = dataclasses.replace(reveal, agree=UNSURE_AGREE, sure=False)
        return dataclasses.replace(self, contour=contour, backdrop=behind, reveal=reveal, evened=misfit_mm > FRAYS_MM)


WARP = WarpOptions()


class Warped(NamedTuple):
    """The frame after the operation, at its own size. drawn_px: from where each pixel of the window was drawn, relative
    to it; what was revealed comes from elsewhere. flow, light: those asked for, laid on what the picture shows. None:
    nothing moves, or no light was asked for."""

    picture: UInt8[np.ndarray, "h w 3"]
    drawn_px: Float[np.ndarray, "h w 2"] | None
    flow: Correspondence | None
    light: Float[np.ndarray, "h w 3"] | None


def warped(frame: UInt8[np.ndarray, "h w 3"], flow: Correspondence | None,
           light: Float[np.ndarray, "a b 3"] | None = None, plate: Plate | None = None, skins: Skins | None = None,
           person: Bool[np.ndarray, "h w"] | None = None, misfit_mm: float = 1.0,
           still: Bool[np.ndarray, "h w"] | None = None, eyes: Bool[np.ndarray, "h w"] | None = None,
           options: WarpOptions = WARP, face_px: Float[np.ndarray, "478 2"] | None = None,
           ears_px: Sequence[Float[np.ndarray, "_ 2"]] = ()) -> Warped:
    """The frame after the operation; a copy of the frame where `flow` is None (nothing moves).

    light: what the skin's new angles multiply its colour by, in the window (`relight`); None: brightness stays.
    plate: of the whole picture, when the frame was taken in front of it; None: the surroundings are continued.
    skins: see `Skins`; None: revealed skin is stretched.
    person: who is seen in the whole picture, hair and clothes too, roughly; nothing of it or near it is continued as
    backdrop, so it is wanted where there is no plate. misfit_mm: how far the fitted head lies from
    the person, one standard deviation; the rims that give way to the picture are in proportion.
    still: eyes and teeth of the whole picture. Skin behind a contour follows it (`follow`) where no texture shows what
    it hides, or shows something else than the picture does; these do not.
    ears_px: rings around the pictured ears of the whole picture, which stay (`lobe`).
    """
    out = frame.copy()
    if flow is None:
        return Warped(picture=out, drawn_px=None, flow=None, light=None)
    part = np.ascontiguousarray(frame[flow.window])
    if plate is not None:
        plate = Plate(rgb=plate.rgb[flow.window], known=plate.known[flow.window])
    person, still, eyes = (None if mask is None else mask[flow.window] for mask in (person, still, eyes))
    alone = skins is None
    options = options.loosened(misfit_mm)
    if skins is not None:
        flow, light, skins = on_picture(part.astype(np.float32), flow, light, skins, plate, person, options)
    else:
        face_px = None if face_px is None else face_px - [flow.left, flow.top]
        flow, light = pictured(part.astype(np.float32), flow, light, plate, person, options.backdrop.person_mm, face_px)
    scene = Scene(part, flow, plate, person, eyes, options, alone)
    own = motion(scene, flow, still, alone)
    if (alone or not scene.sure) and scene.contour is not None and scene.behind is not None:
        own, flow = outlined(own, flow, scene.frame, scene.person, scene.person_at, person, scene.s, scene.contour,
                             tapered(flow), alone, face_px)
    own, flow = past_ears(own, flow, scene.person, [ring - [flow.left, flow.top] for ring in ears_px])
    color, changed = bent(scene, flow, own, light, skins, options)
    block = out[flow.window]
    block[changed] = np.clip(color[changed] + 0.5, 0, 255).astype(np.uint8)
    return Warped(picture=out, drawn_px=own, flow=flow, light=light)


def on_picture(part: Float[np.ndarray, "h w 3"], flow: Correspondence, light: Float[np.ndarray, "h w 3"] | None,
               skins: Skins, plate: Plate | None, person: Bool[np.ndarray, "h w"] | None, options: WarpOptions
               ) -> tuple[Correspondence, Float[np.ndarray, "h w 3"] | None, Skins]:
    """All that is known of the window, moved onto what the picture shows there: its outline, the skin inside, then
    the rims of nose and nostrils, if the head fits well enough to lie near them."""
    before, after = skins()
    steps: tuple[Callable[[], Float[np.ndarray, "h w 2"] | None], ...] = (
        lambda: outline_off(part, flow, plate, person, options.backdrop.person_mm),
        lambda: skin_off(part, flow, before),
        lambda: None if options.evened else rims_off(part, flow))
    for step in steps:
        off = step()
        if off is not None:
            moved = Registered(flow, off)
            flow, before, after = moved.flow, moved.before(before), moved.after(after)
            light = None if light is None else moved.after(light)
    return flow, light, lambda: (before, after)


def warp3d(frame: UInt8[np.ndarray, "h w 3"], flow: Correspondence | None,
           light: Float[np.ndarray, "a b 3"] | None = None, plate: Plate | None = None, skins: Skins | None = None,
           person: Bool[np.ndarray, "h w"] | None = None, misfit_mm: float = 1.0) -> UInt8[np.ndarray, "h w 3"]:
    """The picture of `warped`."""
    return warped(frame, flow, light, plate, skins, person, misfit_mm).picture


def motion(scene: "Scene", flow: Correspondence, still: Bool[np.ndarray, "h w"] | None, alone: bool = False) -> Float[
        np.ndarray, "h w 2"]:
    """From where each pixel of the window is drawn, relative to it. alone: one photo is all that shows the person, and
    its fitted head may end far within the pictured one: what lies between follows, too."""
    contour = scene.contour
    taper = tapered(flow)
    own = flow.flow_px * taper
    if contour is None:
        return own
    whole = contour.flow_px * taper
    own = own + contour.stretched[..., None] * (whole - own)
    left = left_behind(scene, flow, own, whole)
    own[left] = whole[left]
    own = despeckled(own, np.isfinite(flow.depth_after_mm), not scene.sure)
    still = np.zeros(flow.mask.shape, bool) if still is None else still
    past = np.zeros_like(still)
    if alone and scene.behind is not None:
        past = (scene.person > 0.5) & np.isinf(flow.depth_before_mm) & (flow.mask > 0) & ~still
    may = inside(flow) & ~still
    steep = following(own, (may & near(contour, flow, own, STEEPEST)) | past)
    if not alone:
        return steep
    gentle = following(own, (may & near(contour, flow, own, GENTLE)) | past, GENTLE)
    may |= past
    room = cv2.distanceTransform((may | ((length(own) > SPECK_PX) & ~still)).astype(np.uint8), cv2.DIST_L2, 5)
    return sheared(gentler(steep, gentle, contour, may, room, flow.px_per_mm), flow, scene.person)


def despeckled(own: Float[np.ndarray, "h w 2"], skin: Bool[np.ndarray, "h w"], outline: bool) -> Float[
        np.ndarray, "h w 2"]:
    """The motion without pixels of skin that move apart from those around: skin that runs away from the eye is a
    contour in one pixel and none in the next. outline: its own pixels are evened, too; on a head that fits worse the
    pictured one frays otherwise."""
    middle = np.stack([cv2.medianBlur(np.ascontiguousarray(own[..., k]), 5) for k in (0, 1)], -1)
    speck = largest(np.abs(own - middle)) > SPECK_PX
    if not outline:
        speck &= cv2.erode(skin.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    own = np.where(speck[..., None], middle, own)
    return even_inside(own, skin) if outline else own


def even_inside(own: Float[np.ndarray, "h w 2"], skin: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 2"]:
    """The motion evened along the last pixels of skin before what is no skin."""
    inside, weight = signed_distance(skin), skin.astype(np.float32)
    even = blurred(own * weight[..., None], EVEN_PX) / np.maximum(blurred(weight, EVEN_PX), 1e-3)[..., None]
    counts = np.clip((4 - inside) / 2, 0, 1) * skin
    return own + counts[..., None] * (even - own)


def left_behind(scene: "Scene", flow: Correspondence, own: Float[np.ndarray, "h w 2"], whole: Float[np.ndarray, "h w 2"]
                ) -> Bool[np.ndarray, "h w"]:
    """Pixels that the head leaves and that would show what the contour's whole motion takes away from them."""
    uncovered = np.isinf(flow.depth_after_mm) & np.isfinite(flow.depth_before_mm)  # beside it: a cheek that fits worse
    left = uncovered & (largest(np.abs(whole - own)) > 0.1) & (flow.mask > 0)
    if left.any():
        shown, rest = (scene.person_at(u[left], left) for u in (own, whole))
        left[left] = shown > rest + LEFT
    return left


def tapered(flow: Correspondence) -> Float[np.ndarray, "h w 1"]:
    """How much of the motion counts: less at the mask's edge."""
    return np.asarray(smoothstep(flow.mask / TAPER)[..., None])


def bent(scene: "Scene", flow: Correspondence, own: Float[np.ndarray, "h w 2"],
         light: Float[np.ndarray, "h w 3"] | None, skins: Skins | None, options: WarpOptions) -> tuple[
             np.ndarray, np.ndarray]:
    """Colours of the window after, and which pixels they change."""
    taper = tapered(flow)
    color, person = scene.fetched(own)
    if skins is not None:
        color = revealed(color, person, scene, flow, skins, taper, options)
    moved = largest(np.abs(own)) > LEAST_PX
    changed = moved | (largest(np.abs(color - scene.frame)) > 0.5)
    if light is not None:
        factor = 1 + (light - 1) * person[..., None] * taper
        color = color * factor
        changed |= largest(np.abs(factor - 1)) > LEAST_FACTOR
    return color, changed & (flow.mask > 0)


def near(contour: Beyond, flow: Correspondence, own_px: Float[np.ndarray, "h w 2"], steepest: float) -> Bool[
        np.ndarray, "h w"]:
    """Pixels so near to a contour that they may have to follow it."""
    return contour.distance_px < float(length(own_px).max()) / steepest + RIM * flow.px_per_mm


def inside(flow: Correspondence) -> Bool[np.ndarray, "h w"]:
    """Skin of the mask away from the background: what bends beside that, the backdrop tells."""
    skin = np.isfinite(flow.depth_after_mm) & np.isfinite(flow.depth_before_mm)
    return (signed_distance(skin) > RIM * flow.px_per_mm) & (flow.mask > 0)


def revealed(color: Float[np.ndarray, "h w 3"], person: Float[np.ndarray, "h w"], scene: "Scene", flow: Correspondence,
             skins: Skins, taper: Float[np.ndarray, "h w 1"], options: WarpOptions) -> Float[np.ndarray, "h w 3"]:
    """Colours (stretched over what was hidden) with the texture there instead, as a layer behind the contour, as far as
    both agree: where they do not, the fitted head or its texture is off."""
    contour = scene.contour
    unseen = (hidden(flow, contour, options.reveal) if contour else occluded(flow, options.reveal)) & (flow.mask > 0)
    if not unseen.any():
        return color
    before, after = skins()
    both, drawn = (largest(before) > 0) & (scene.s > 2), largest(after) > 0
    skin = matched(scene.frame, before, after, both, options.reveal.match_mm * flow.px_per_mm)
    del before, after  # at 12 megapixels each of these takes 30 MB or more
    soft = cv2.GaussianBlur(unseen.astype(np.float32), (0, 0), 0.8) * drawn * taper[..., 0]
    if contour is None:  # what hid it is gone altogether: there is nothing to compare with
        back, _ = scene.fetched(flow.flow_px * taper)
        return back + soft[..., None] * (skin - back)
    around = cv2.dilate(unseen.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    beside = contour.behind & np.isfinite(flow.depth_after_mm) & drawn & ~around
    skin = adjoining(skin, color, beside, flow.px_per_mm, options.reveal)
    told = unseen & (person > 0.5) if options.reveal.sure else unseen  # a stretched wall says nothing of skin
    trust = agreement(skin, color, told, flow.px_per_mm, options.reveal) * (
        (contour.behind | unseen) & np.isfinite(flow.depth_after_mm))
    another = contour.apart & np.isfinite(flow.depth_after_mm)
    shown = upheld(another, unseen)
    trust *= ~(another & ~shown & (person < 0.5))
    if scene.sure:
        trust *= ~(another & (scene.person_at(flow.flow_px) < 0.5))
    touched = (trust > 0) & ((soft > 0) | (contour.share > 0) | (contour.stretched > 0))  # elsewhere all are alike
    fade, soft = taper[touched], soft[touched][:, None]
    layered, _ = scene.fetched(flow.flow_px[touched] * fade, touched)
    layered += soft * (skin[touched] - layered)
    front, opaque = scene.fetched(contour.flow_px[touched] * fade, touched)
    if scene.behind is not None:  # what the front thing ends before is not the backdrop there, but this skin
        front += ((1 - opaque) * shown[touched])[:, None] * (layered - scene.behind[touched])
    layered += contour.share[touched][:, None] * (front - layered)
    color[touched] += trust[touched][:, None] * (layered - color[touched])
    return color


def upheld(behind: Bool[np.ndarray, "h w"], unseen: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Those pieces of what lies behind of which the picture before shows the greater part: a sliver of which it shows
    nothing may be the fitted head's error."""
    _, piece = cv2.connectedComponents(behind.astype(np.uint8), connectivity=4)
    shown, hid = (np.bincount(piece[behind & where], minlength=piece.max() + 1) for where in (~unseen, unseen))
    return behind & (shown > hid)[piece]


class Scene:
    """The window before the operation: frame, moving contours, backdrop and matte."""

    def __init__(self, part: UInt8[np.ndarray, "h w 3"], flow: Correspondence, plate: Plate | None,
                 person: Bool[np.ndarray, "h w"] | None, eyes: Bool[np.ndarray, "h w"] | None, options: WarpOptions,
                 alone: bool = False) -> None:
        self.frame, self.sure = part.astype(np.float32), not options.evened
        before, bare = np.isfinite(flow.depth_before_mm), ~np.isfinite(flow.depth_after_mm)
        rim = options.backdrop.rim_mm * flow.px_per_mm
        lands = functools.partial(landing, flow, options=options.outline)
        self.contour = beyond(flow.depth_after_mm, flow.flow_px, flow.px_per_mm, ~occluded(flow, options.reveal), bare,
                              options.contour, lands)
        self.s = signed_distance(before)
        height, width = before.shape
        self.y, self.x = np.mgrid[:height, :width].astype(np.float32)
        self.behind: np.ndarray | None = None
        self.person = smoothstep((self.s + 1) / 2)
        if self.contour is None:
            return
        beside = self.contour.stretched * (self.s < rim if alone else ~np.isfinite(flow.depth_after_mm))
        if not beside.any():
            return
        reach = rim + float(length(self.contour.flow_px[self.contour.stretched > 0]).max()) + 4
        near = cv2.dilate((beside > 0).astype(np.uint8), np.ones((2 * round(rim) + 1,) * 2, np.uint8)) > 0
        free = self.s < -rim
        if person is not None:  # found roughly: nothing near it is the backdrop, but what of it is colour tells better
            free &= signed_distance(person) < -options.backdrop.person_mm * flow.px_per_mm
        asked = cv2.distanceTransform((flow.mask <= 0).astype(np.uint8), cv2.DIST_L2, 5) < max(
            reach, BEYOND_MM * flow.px_per_mm)
        self.behind = backdrop(part, free, ((self.s < reach) | near) & asked, plate, options.backdrop)
        self.person = matte(self.frame, self.behind, self.s, rim)
        if eyes is not None:
            found = with_eye(self.behind, self.frame, self.person, self.s, rim, eyes, REACH_MM * flow.px_per_mm)
            self.behind, self.person = (self.behind, self.person) if found is None else found
        beside = shown_beside(self.person, before, rim, flow.px_per_mm, self.sure, options.outline)
        self.contour = self.narrowed(self.contour, flow, beside, rim, options.outline.soft_px)

    def narrowed(self, contour: Beyond, flow: Correspondence, beside_px: Float[np.ndarray, "h w"], rim_px: float,
                 soft_px: float) -> Beyond:
        """An outline that advances before the background takes along no more than the picture shows of the head: of
        what lies beyond the old outline, and, where that lay before a neck or a cheek, as much as its neighbours."""
        at = self.x + contour.flow_px[..., 0], self.y + contour.flow_px[..., 1]
        there = drawn_from(beside_px, at, cv2.INTER_LINEAR)
        was_mm = cv2.remap(np.minimum(flow.depth_before_mm, np.float32(FAR_MM)), *at, cv2.INTER_NEAREST,
                           borderMode=cv2.BORDER_REPLICATE)
        told = was_mm > (contour.front_mm + APART_MM if self.sure else np.float32(FAR_MM) - 1)
        there = np.where(told, there, 2 * rim_px)
        advances = np.isinf(flow.depth_after_mm) & np.isinf(flow.depth_before_mm)
        if self.sure:
            advances |= contour.apart & np.isfinite(flow.depth_after_mm) & (self.person_at(flow.flow_px) < 0.5)
        left = np.where(advances, np.clip(there + soft_px - contour.distance_px, 0, 1), 1)
        left = 1 - (1 - left) * (1 - self.person)
        return dataclasses.replace(contour, stretched=contour.stretched * left, share=contour.share * left)

    def fetched(self, u: Float[np.ndarray, "*n 2"], where: Bool[np.ndarray, "h w"] | slice = slice(None)) -> tuple[
            Float[np.ndarray, "*n 3"], Float[np.ndarray, "*n"]]:
        """I(q) + (1 - a(q)) (B(p) - B(q)), and a(q): of all pixels p, or of some, as a list."""
        at = (self.x[where] + u[..., 0], self.y[where] + u[..., 1])
        color, person = drawn_from(self.frame, at, cv2.INTER_LANCZOS4), self.person_at(u, where)
        if self.behind is not None:
            color += (1 - person)[..., None] * (self.behind[where] - drawn_from(self.behind, at, cv2.INTER_LINEAR))
        return color, person


    def person_at(self, u: Float[np.ndarray, "*n 2"], where: Bool[np.ndarray, "h w"] | slice = slice(None)) -> Float[
            np.ndarray, "*n"]:
        """a(q) of all pixels p, or of some, as a list."""
        return drawn_from(self.person, (self.x[where] + u[..., 0], self.y[where] + u[..., 1]), cv2.INTER_LINEAR)


LIST_PX = 4096
"""OpenCV samples pictures of places: a list of them is folded into one so wide."""


def drawn_from(picture: Float[np.ndarray, "h w ..."], at: tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]],
               how: int) -> Float[np.ndarray, "..."]:
    """A picture at places x, y: a picture of places gives a picture, a list a list."""
    x, y = at
    if x.ndim == 2:
        return cv2.remap(picture, x, y, how, borderMode=cv2.BORDER_REPLICATE)
    folded = np.zeros((2, -(-max(len(x), 1) // LIST_PX) * LIST_PX), np.float32)
    folded[:, :len(x)] = at
    found = cv2.remap(picture, *folded.reshape(2, -1, LIST_PX), how, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, *picture.shape[2:])[:len(x)]
