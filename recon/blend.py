"""Blend: what the views agree on, which of them draws the detail where, and the full picture of both.

Three bands. Broad colours are worked out on a coarse copy of the layout, as a robust mean of all views under an even
light: this levels seams. What is finer comes from the one view that sees a texel best, with a wide blend at borders;
what is finest, pores and lashes, with a narrow one, so that it stays sharp where views disagree by a pixel.
Letters: K views, T texels a side of the full texture, t of the coarse one, w trust, D colours under an even light.
"""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, Float, Shaped

from core.mesh import Mesh
from core.records import record
from recon.layout import Layout, on_texels
from recon.light import Light
from recon.sight import Sight, project, shrunk

WORKERS = 2
"""Views worked side by side: numpy and OpenCV let them, and more would only need more memory."""
COARSE = 4
"""The full texture has this many texels a side for one of the coarse copy."""
HIDDEN_MM = 2.0
"""A texel this far behind what its pixel sees is hidden."""
AGREE = (60.0, 40.0, 25.0, 20.0)
"""Scale (grey levels) of the difference from the consensus beyond which a view counts less, round by round."""
SHARPEN = 6.0
"""Power by which the better view takes over the detail."""
SMOOTH_TEXELS = 6.0
"""Borders between the views that draw detail are smoothed over this many coarse texels."""
FEATHER_TEXELS = (5.0, 1.5)
"""Width of the blend across such a border, for what is coarser and finer than the fine band."""
LEAST_SHARE = 0.02
"""A smaller share of the detail is not worth the work."""
KEEP = 1e-3
"""Trust, (px/mm)^2, below which a texel's detail fades: it lies on the edge of what its view shows."""
CLOTH = 50.0
"""Difference (grey levels) from the mean skin beyond which what lies on the throat is hardly skin."""
CALM, BOLD = 25.0, 200.0
"""Contrast of detail (grey levels) that is believed of hardly trusted skin, and how much more per (px/mm)^2."""
EXPECTED_TRUST = 1e-3
"""Trust of the person's mean skin as one more view, relative to a head-on view; decides where two views disagree."""


@record
class Survey:
    """Every view on the coarse layout: points, normals (t,t,3); low, mid (K,t,t,3) sRGB; weight, wide (K,t,t), where 1
    is the best that was seen head-on; withheld (t,t), what all views' weights lost only because an ear is near."""

    flat: Layout
    points: Float[np.ndarray, "s t 3"]
    normals: Float[np.ndarray, "s t 3"]
    low: Float[np.ndarray, "k s t 3"]
    mid: Float[np.ndarray, "k s t 3"]
    weight: Float[np.ndarray, "k s t"]
    wide: Float[np.ndarray, "k s t"]
    withheld: Float[np.ndarray, "s t"]


def survey(mesh: Mesh, normals: Float[np.ndarray, "v 3"], flat: Layout, sights: Sequence[Sight],
           sharpness: Float[np.ndarray, "k"]) -> Survey:
    """Sample every view's broad colours and trust."""
    both = on_texels(np.column_stack([mesh.vertices_mm, normals]), mesh, flat)[flat.nearest]
    points, n = both[..., :3], both[..., 3:]
    n /= np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-6)
    low = np.zeros((len(sights), *points.shape), np.float32)
    mid = np.zeros_like(low)
    weight, wide, withheld = (np.zeros(low.shape[:3], np.float32) for _ in range(3))
    for k, sight in enumerate(sights):
        px, depth = project(points, sight.camera)
        px = shrunk(px, sight)
        visible = depth < cv2.remap(sight.depth_mm, px, None, cv2.INTER_NEAREST) + HIDDEN_MM
        share = visible * flat.inside * np.float32(sharpness[k] / sharpness.max())
        for out, trust in ((weight, sight.weight), (wide, sight.wide), (withheld, sight.withheld)):
            out[k] = cv2.remap(trust, px, None, cv2.INTER_LINEAR) * share
        for out, colour in ((low, sight.low), (mid, sight.mid)):
            out[k] = cv2.remap(colour, px, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    unit = max(float(weight.max()), 1e-12)
    return Survey(flat=flat, points=points, normals=n, low=low, mid=mid, weight=weight / unit, wide=wide / unit,
                  withheld=withheld.sum(0) / unit)


def one_view_each(seen: Survey, parts: Sequence[Bool[np.ndarray, "t t"]]) -> Survey:
    """Each part from the view that shows most of it: gaze (both eyes are one part) moves between views, and an ear fits
    no two of them."""
    weight, wide = seen.weight.copy(), seen.wide.copy()
    for part in parts:
        total = weight[:, part].sum(1)
        for k in np.flatnonzero(np.arange(len(total)) != total.argmax()):
            weight[k][part] *= 1e-4
            wide[k][part] *= 1e-4
    return dataclasses.replace(seen, weight=weight, wide=wide)


def agree(seen: Survey, shade: Float[np.ndarray, "k t t 3"], bare: Float[np.ndarray, "t t"],
          throat: Float[np.ndarray, "t t"]) -> tuple[Float[np.ndarray, "t t 3"], Float[np.ndarray, "t t 3"],
                                                     Float[np.ndarray, "k t t"], Float[np.ndarray, "3"]]:
    """Broad colours under an even light, by how much the light multiplied them in the same mixture of views, every
    view's trust by agreement, and the person's mean skin.

    bare: skin that should have the person's colour. throat: where another colour is a collar.
    """
    inside = seen.flat.inside
    even, weight, wide = seen.low[:, inside] / shade[:, inside], seen.weight[:, inside], seen.wide[:, inside]
    best = weight.argmax(0)
    sure = (weight.max(0) > 0.1) & (bare[inside] > 0.5)
    if not sure.any():
        sure = weight.max(0) >= weight.max() * 0.5
    mean_skin = np.median(even[best[sure], np.flatnonzero(sure)], axis=0)
    cloth = np.stack([agreement(d - mean_skin.astype(np.float32), CLOTH) for d in even])
    bared = np.clip(throat[inside], 0, 1) * (1 - cloth)
    weight, wide = weight * (1 - bared), wide * (1 - bared)
    belief = (EXPECTED_TRUST * np.clip(bare[inside], 0, 1)).astype(np.float32)
    expected = np.broadcast_to(mean_skin.astype(np.float32), (inside.sum(), 3))
    _, agreed = consensus(even, weight, expected, belief)
    share = np.zeros((len(weight), *inside.shape), np.float32)
    share[:, inside] = agreed / np.maximum(weight, 1e-12)
    share = np.stack([cv2.GaussianBlur(s, (0, 0), SMOOTH_TEXELS) for s in share])
    share /= np.maximum(cv2.GaussianBlur(inside.astype(np.float32), (0, 0), SMOOTH_TEXELS), 1e-6)
    gentle = share[:, inside] * (wide + 1e-3 * weight)
    mean, as_seen = (np.einsum("kn,knc->nc", gentle, colour) / np.maximum(gentle.sum(0), 1e-12)[:, None]
                     for colour in (even, seen.low[:, inside]))
    broad, lit = np.zeros((2, *inside.shape, 3), np.float32)
    trusts = np.zeros((len(weight), *inside.shape), np.float32)
    broad[inside], lit[inside], trusts[:, inside] = mean, as_seen / np.maximum(mean, 1e-6), agreed
    return broad, lit, trusts, mean_skin.astype(float)


def consensus(even: Float[np.ndarray, "k n 3"], weight: Float[np.ndarray, "k n"], expected: Float[np.ndarray, "n 3"],
              belief: Float[np.ndarray, "n"]) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "k n"]]:
    """Robust mean over views of colours D under an even light, and each view's weight times its agreement.

    expected: a colour to side with where views disagree, believed as much as a view of weight `belief`.
    Geman-McClure with a shrinking scale, so that the majority is found before outliers are judged.
    """
    agreed = weight
    own = belief
    mean = expected
    for scale in (np.inf, *AGREE):
        if np.isfinite(scale):
            agreed = weight * np.stack([agreement(d - mean, scale) for d in even])
            own = belief * agreement(expected - mean, scale)
        total = sum((a[:, None] * d for a, d in zip(agreed, even, strict=True)), own[:, None] * expected)
        mean = (total / np.maximum(agreed.sum(0) + own, 1e-12)[:, None]).astype(np.float32)
    total = sum((a[:, None] * d for a, d in zip(agreed, even, strict=True)), 1e-9 * expected)
    return (total / (agreed.sum(0) + 1e-9)[:, None]).astype(np.float32), agreed


def agreement(difference: Float[np.ndarray, "n 3"], scale: float | Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """1 for equal colours, falling to zero well beyond the scale."""
    square = np.einsum("nc,nc->n", difference, difference) / np.square(scale)
    return (1 / (1 + square) ** 2).astype(np.float32)


def shares(weight: Float[np.ndarray, "k t t"], inside: Bool[np.ndarray, "t t"], feather: float) -> Float[
        np.ndarray, "k t t"]:
    """Each view's share: nearly all to the best, borders smoothed; sums to one where anything was seen."""
    around = np.maximum(cv2.GaussianBlur(inside.astype(np.float32), (0, 0), SMOOTH_TEXELS), 1e-6)
    smooth = np.stack([cv2.GaussianBlur(w, (0, 0), SMOOTH_TEXELS) for w in weight]) / around
    valid = weight / (weight + 0.1 * smooth + 1e-9)  # where a view sees nothing, its surroundings do not count
    smooth *= valid
    best = np.maximum(smooth.max(0), 1e-12)
    share = (smooth / best) ** SHARPEN
    share = np.stack([cv2.GaussianBlur(s, (0, 0), feather) for s in share]) * np.minimum(2 * valid, 1)
    total = share.sum(0)
    return np.where(total > 1e-3, share / np.maximum(total, 1e-3), 0).astype(np.float32)


def detail(mesh: Mesh, flat: Layout, sights: Sequence[Sight], share: Float[np.ndarray, "k t t"],
           factor: Float[np.ndarray, "k t t 3"]) -> Float[np.ndarray, "T T 3"]:
    """What is finer than the broad colours, under an even light, from each view where it has a share."""
    side = flat.face.shape[0]
    out = np.zeros((side * side, 3), np.float32)
    face, bary = flat.face.ravel(), flat.bary.reshape(-1, 3)
    table = mesh.vertices_mm.astype(np.float32)

    def drawn(one: tuple[Sight, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Texels that a view draws, and what it draws there."""
        sight, mine, light = one
        texels = np.flatnonzero((cv2.resize(mine, (side, side), interpolation=cv2.INTER_LINEAR) > LEAST_SHARE).ravel()
                                & (face >= 0))
        if not len(texels):
            return texels, np.zeros((0, 3), np.float32)
        points = np.einsum("nk,nkc->nc", bary[texels], table[mesh.faces[face[texels]]])
        px, depth = project(points, sight.camera)
        near = shrunk(px, sight)
        at = (np.stack([texels % side, texels // side], 1).astype(np.float32) + 0.5) * (mine.shape[0] / side) - 0.5
        shown = depth < sampled(sight.depth_mm, near, cv2.INTER_NEAREST)[:, 0] + HIDDEN_MM
        trust = sampled(sight.weight, near, cv2.INTER_LINEAR)[:, 0]
        rgb = sampled(sight.picture, px, cv2.INTER_CUBIC) - sampled(sight.mid, near, cv2.INTER_LINEAR)
        keep = sampled(mine, at, cv2.INTER_LINEAR)[:, 0] * shown * np.minimum(trust / KEEP, 1)
        keep *= agreement(rgb, CALM + BOLD * trust)
        return texels, keep[:, None] * rgb / sampled(light, at, cv2.INTER_LINEAR)

    with ThreadPoolExecutor(WORKERS) as pool:
        for texels, colour in pool.map(drawn, zip(sights, share, factor, strict=True)):
            out[texels] += colour
    return out.reshape(side, side, 3)


def sampled(picture: Shaped[np.ndarray, "h w *c"], px: Float[np.ndarray, "n 2"], how: int) -> Float[
        np.ndarray, "n c"]:
    """Colours of a list of points: OpenCV samples pictures of points, so the list is folded into one."""
    width = 4096
    rows = -(-len(px) // width)
    grid = np.zeros((rows * width, 2), np.float32)
    grid[:len(px)] = px
    found = cv2.remap(picture, grid.reshape(rows, width, 2), None, how, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(rows * width, -1)[:len(px)].astype(np.float32)


def factors(light: Light, seen: Survey, sights: Sequence[Sight]) -> Float[np.ndarray, "k t t 3"]:
    """What the light multiplied every texel's colour by in every view."""
    return np.stack([light.factor(seen.normals, s.camera.cam_from_head[:3, :3], k) for k, s in enumerate(sights)])
