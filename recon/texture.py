"""Texture: the person's skin over the head, gathered from the pictures and freed of the light it was seen in.

The way, each step in its file: every picture says how far its pixels are trusted (`sight`); all are laid on a coarse
copy of the layout; their differences tell the light (`light`); under an even light the views agree on broad colours and
the best view draws the detail (`blend`); what no view saw is completed (`complete`). `Texture.seen` says where that is.
Letters: T texture side in texels, t of the coarse copy, K views, V vertices.
"""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import record
from core.texture import Texture
from recon.blend import COARSE, FEATHER_TEXELS, WORKERS, Survey, agree, detail, factors, one_view_each, shares, survey
from recon.complete import carried_on, completed, membrane, mirrored
from recon.layout import Layout, at_vertices, layout, on_texels
from recon.light import Light, Samples, fit_light, log_linear
from recon.sight import Sight, SightOptions, Zones, look, zones

Picture = UInt8[np.ndarray, "h w 3"]


@record
class TextureOptions:
    """How the skin is gathered: texels per side, and so many of them for one of the coarse copy, on which light and
    broad colours are worked out; pictures used at most; and what a pixel is trusted by."""

    side: int = 2048
    coarse: int = COARSE
    views: int = 12
    sight: SightOptions = SightOptions()


DEFAULTS = TextureOptions()
HALF_TRUST = 2e-3
"""Trust, relative to a head-on view, at which seen and completed skin count alike."""
DETAIL_TRUST = 1e-2
"""The same for detail: from a grazing view it is but streaks."""
LINING_RGB = (84, 42, 40)
"""Colour of the mouth's lining, which no camera sees."""
LIGHT_TEXELS = 7
"""Every so many coarse texels are asked about the light."""
LIGHT_MM = 2.0
"""The normals that say how skin is lit are averaged over this, for the broad colours that are freed of the light are.
With sharper ones lids, lips and nostrils, which turn away within a millimetre, got white outlines."""
LIGHT_TRUST = 0.02
"""Skin that is trusted less, relative to a head-on view, counts less for the light."""
GROUP_MM = 5.0
"""Skin within a cube of this side, and its mirror image, is taken to have one reflectance when the light is sought."""


@record
class Skin:
    """as_seen: in the light of the pictures that saw each part best. delit: under an even light of the same mean
    colour. views: the pictures used, the frontal one first; `light.exposure` follows their order."""

    as_seen: Texture
    delit: Texture
    light: Light
    views: tuple[int, ...]


def choose_views(cameras: Sequence[Camera], sharpness: Float[np.ndarray, "n"], count: int) -> list[int]:
    """Views spread over the head's turn and nod, the sharpest of each neighbourhood; at most `count`, frontal first."""
    angles = np.stack([c.head_angles_rad[:2] for c in cameras])
    chosen = [int(np.argmin(np.abs(angles).sum(1)))]
    while len(chosen) < min(count, len(cameras)):
        gap = np.min([np.linalg.norm(angles - angles[c], axis=1) for c in chosen], axis=0)
        gain = gap * (0.5 + 0.5 * sharpness / sharpness.max())
        gain[chosen] = -1
        chosen.append(int(np.argmax(gain)))
    return chosen


@record
class Looks:
    """What pictures show of a head's skin, and the light that they were taken in: all that its textures are drawn from.

    views: the pictures used. flat: the textures' layout, `seen.flat` its coarse copy; bare, throat: `Zones` there.
    """

    mesh: Mesh
    normals: Float[np.ndarray, "v 3"]
    zone: Zones
    views: tuple[int, ...]
    sights: tuple[Sight, ...]
    flat: Layout
    seen: Survey
    bare: Float[np.ndarray, "t t"]
    throat: Float[np.ndarray, "t t"]
    light: Light


def gather(mesh: Mesh, cameras: Sequence[Camera], pictures: Callable[[int], Picture],
           foreground: Callable[[Picture], Bool[np.ndarray, "h w"]], sharpness: Float[np.ndarray, "n"],
           rasterize: Rasterize, options: TextureOptions = DEFAULTS, progress: Progress = silent,
           anatomy: Anatomy | None = None) -> Skin:
    """The skin of a head that cameras saw.

    pictures(i): RGB of view i. foreground(picture): the person, roughly. sharpness (n,): larger is better.
    anatomy: eyes, ears, scalp and linings are treated as what they are; without it everything is skin.
    """
    return drawn(looked_at(mesh, cameras, pictures, foreground, sharpness, rasterize, options, progress, anatomy),
                 progress)


def looked_at(mesh: Mesh, cameras: Sequence[Camera], pictures: Callable[[int], Picture],
              foreground: Callable[[Picture], Bool[np.ndarray, "h w"]], sharpness: Float[np.ndarray, "n"],
              rasterize: Rasterize, options: TextureOptions = DEFAULTS, progress: Progress = silent,
              anatomy: Anatomy | None = None) -> Looks:
    """The first half of `gather`, up to the light."""
    normals, zone = mesh.vertex_normals(), zones(mesh, anatomy)
    chosen = choose_views(cameras, sharpness, options.views)
    shown = [pictures(view) for view in chosen]
    person = [foreground(picture) for picture in shown]

    def seen_in(turn: int) -> Sight:
        return look(mesh, normals, zone, cameras[chosen[turn]], shown[turn], person[turn], rasterize, options.sight)

    sights: list[Sight] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for sight in pool.map(seen_in, range(len(chosen))):
            sights.append(sight)
            progress(0.5 * len(sights) / len(chosen), f"Gathering skin, view {len(sights)} of {len(chosen)}")
    coarse, flat = layout(mesh, max(options.side // options.coarse, 1)), layout(mesh, options.side)
    seen = lit_as_broadly(survey(mesh, normals, coarse, sights, sharpness[chosen]), mesh, normals)
    progress(0.6, "Finding the light")
    parts = on_texels(np.column_stack([zone.bare, zone.throat, *zone.eyes, *zone.ears]), mesh, coarse)
    bare, eyes, ears = parts[..., 0], parts[..., 2:2 + len(zone.eyes)], parts[..., 2 + len(zone.eyes):]
    whole = [eyes.max(-1, initial=0) > 0.5, *(ears[..., k] > 0.5 for k in range(ears.shape[2]))]
    light = fit_light(samples(seen, bare, [s.camera for s in sights]), 0)
    return Looks(mesh=mesh, normals=normals, zone=zone, views=tuple(chosen), sights=tuple(sights), flat=flat,
                 seen=one_view_each(seen, whole), bare=bare, throat=parts[..., 1], light=light)


def lit_as_broadly(seen: Survey, mesh: Mesh, normals: Float[np.ndarray, "v 3"]) -> Survey:
    """The survey with normals that are means over the skin that was seen around, by which the light is told."""
    trust = np.minimum(seen.weight.max(0) / LIGHT_TRUST, 1)[..., None]
    mean = evened(mesh, normals, at_vertices(trust, mesh)[:, 0])
    return dataclasses.replace(seen, normals=on_texels(mean, mesh, seen.flat)[seen.flat.nearest])


def evened(mesh: Mesh, normals: Float[np.ndarray, "v 3"], trust: Float[np.ndarray, "v"]) -> Float[np.ndarray, "v 3"]:
    """Normals averaged over the skin around that was seen."""
    mean = membrane(mesh, normals, trust, np.zeros_like(normals), LIGHT_MM)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)


def drawn(looks: Looks, progress: Progress = silent) -> Skin:
    """The second half of `gather`."""
    mesh, seen, coarse = looks.mesh, looks.seen, looks.seen.flat
    shade = factors(looks.light, seen, looks.sights)
    broad, lit, agreed, mean_skin = agree(seen, shade, looks.bare, looks.throat)
    total = agreed.sum(0)
    trust = total / (total + HALF_TRUST)
    broad += (shares(agreed, coarse.inside, FEATHER_TEXELS[0])[..., None] * (seen.mid - seen.low) / shade).sum(0)
    progress(0.7, "Drawing the detail")
    share = shares(agreed, coarse.inside, FEATHER_TEXELS[1]) * total / (total + DETAIL_TRUST)
    fine = detail(mesh, looks.flat, looks.sights, share[:, *coarse.nearest], shade)
    progress(0.9, "Completing what was not seen")
    hidden = on_texels(completed(mesh, looks.normals, looks.zone, coarse, broad, trust, mean_skin), mesh, coarse)
    base = trust[..., None] * broad + (1 - trust[..., None]) * hidden
    lit = carried_on(mesh, coarse, lit, trust)
    shown = (total + seen.withheld) / (total + seen.withheld + HALF_TRUST)
    delit, as_seen = finished(mesh, looks.flat, looks.zone, seen, base, fine, trust, lit, shown)
    return Skin(as_seen=as_seen, delit=delit, light=looks.light, views=looks.views)


def samples(seen: Survey, bare: Float[np.ndarray, "t t"], cameras: Sequence[Camera]) -> Samples:
    """What is asked about the light: bare skin, thinned out, in groups of one reflectance (a small cube, mirrored)."""
    thin = np.zeros(bare.shape, bool)
    thin[::LIGHT_TEXELS, ::LIGHT_TEXELS] = True
    thin &= seen.flat.inside
    return samples_of(seen.points[thin], seen.normals[thin], seen.mid[:, thin], seen.weight[:, thin], bare[thin],
                      cameras)


def samples_of(points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], colour: Float[np.ndarray, "k n 3"],
               weight: Float[np.ndarray, "k n"], bare: Float[np.ndarray, "n"], cameras: Sequence[Camera]) -> Samples:
    """The same of a list of texels."""
    asked = weight.max(0) > 0.05 * LIGHT_TRUST
    if (asked & (bare > 0.5)).any():
        asked &= bare > 0.5
    points = points[asked]
    cell = np.floor(np.column_stack([np.abs(points[:, 0]), points[:, 1:]]) / GROUP_MM).astype(int)
    _, group = np.unique(cell, axis=0, return_inverse=True)
    return Samples(log_colour=log_linear(colour[:, asked].astype(float)), group=group.reshape(-1),
                   weight=np.sqrt(np.clip(weight[:, asked] / LIGHT_TRUST, 0, 1)).astype(float),
                   normals=normals[asked].astype(float),
                   rotations=np.stack([c.cam_from_head[:3, :3] for c in cameras]))


def finished(mesh: Mesh, flat: Layout, zone: Zones, seen: Survey, base: Float[np.ndarray, "t t 3"],
             fine: Float[np.ndarray, "T T 3"], trust: Float[np.ndarray, "t t"], lit: Float[np.ndarray, "t t 3"],
             shown: Float[np.ndarray, "t t"]) -> tuple[Texture, Texture]:
    """Both textures at full size, under an even light and as seen: the linings dark, unseen detail mirrored.

    shown: trust that a camera saw the skin, also where its colour is not taken (beside the ears).
    """
    side, grown = flat.face.shape[0], seen.flat.nearest

    def full(values: np.ndarray) -> np.ndarray:
        """At the texture's size; beyond an island's outline its values go on."""
        return cv2.resize(values[grown].astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)

    sure = full(trust)
    rgb = full(base) + mirrored(fine, sure, seen.points, seen.flat.inside)
    if zone.dark.any():
        dark = on_texels(zone.dark[:, None], mesh, flat)[..., 0]
        dark = (np.clip((dark - 0.2) / 0.5, 0, 1) * (1 - sure))[..., None]
        rgb += dark * (np.array(LINING_RGB, np.float32) - rgb)
    known = np.where((full(shown) > 0.5) & flat.inside, 255, 0).astype(np.uint8)
    return Texture(rgb=as_bytes(rgb), seen=known), Texture(rgb=as_bytes(rgb * full(lit)), seen=known)


def as_bytes(rgb: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colours rounded and held within 0..255."""
    return np.rint(np.clip(rgb, 0, 255)).astype(np.uint8)
