"""Where the 478-point detector's points fall on the model: rendered from many sides, detected, cast back, averaged.

Letters: Y yaw bins, L = 478 landmarks, H random heads. A detection on any head is carried to the template through
the shared topology (triangle and barycentrics), so averages over heads are averages of anatomy.
"""

import numpy as np

from core.mesh import Mesh
from recon.face478 import topology
from tools.head_model.mirror import even_points, joined
from tools.head_model.paint import BROW, LIP, SKIN, Studio, camera_about

SIZE = 480
YAW_BINS_RAD = np.radians(np.arange(-60, 61, 10))
MIN_SEEN = 0.5
FIRST_OF_IRISES = 468
LIPS = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
BROWS = ([70, 63, 105, 66, 107, 55, 65, 52, 53, 46], [300, 293, 334, 296, 336, 285, 295, 282, 283, 276])


def detector():
    """Previsage's own detector (the pins must be where *it* puts the points): picture -> (478,2) px, or None."""
    from recon.detect import Detector

    seen = Detector()

    def detect(picture):
        face = seen.follow(picture, None)
        return None if face is None else face.points_px[:, :2]

    return detect


def inside_loop(uv_of_vertex, loop_uv, margin=0.0):
    """Signed distance (in texture units, positive inside) of every vertex from a closed loop of texture points."""
    import cv2

    loop = (np.asarray(loop_uv) * 4096).astype(np.float32).reshape(-1, 1, 2)
    return np.array([cv2.pointPolygonTest(loop, (float(u * 4096), float(v * 4096)), True) / 4096 + margin
                     for u, v in uv_of_vertex])


def bare(colors, is_skin):
    """Vertex colours of an unpainted head: skin, and the eyes as they are."""
    return np.where(is_skin[:, None], SKIN, colors)


def painted(colors, uv_of_vertex, is_skin, pins_uv):
    """Vertex colours with lips and brows along the pins found so far."""
    out = bare(colors, is_skin)
    for loop, color in [(LIPS, LIP), *((b, BROW) for b in BROWS)]:
        share = np.clip(inside_loop(uv_of_vertex, pins_uv[loop]) / 0.004 + 0.5, 0, 1) * is_skin
        out = out * (1 - share[:, None]) + color * share[:, None]
    return out


def looks(model_mesh: Mesh, heads_mm, colors, yaw_rad, rng, detect):
    """Every head pictured near one yaw and detected: yields its mesh, studio, intrinsics, pose and (478,2) px."""
    for head in heads_mm:
        mesh = model_mesh.with_vertices(head)
        studio = Studio(head, mesh.faces, colors * rng.uniform(0.45, 1.1), mesh.vertex_normals())
        K, cam = camera_about(yaw_rad + rng.uniform(-0.08, 0.08), rng.uniform(-0.2, 0.2), SIZE,
                              rng.uniform(420, 900), centre_mm=(0, -25, 30))
        light = rng.normal(0, 0.45, 3) + [0, -0.3, 1]
        px = detect(studio.picture(K, cam, SIZE, light / np.linalg.norm(light)))
        if px is not None:
            yield mesh, studio, K, cam, px


def template_points(model_mesh: Mesh, heads_mm, colors, rng, detect):
    """(H, 478, 3) template positions under frontal detections of every head; NaN where the ray misses."""
    out = []
    for mesh, studio, K, cam, px in looks(model_mesh, heads_mm, colors, 0.0, rng, detect):
        tri, bary = studio.surface_under(px, K, cam)
        point = np.einsum("nk,nkc->nc", bary, model_mesh.vertices_mm[mesh.faces[tri]])
        out.append(np.where((tri >= 0)[:, None], point, np.nan))
    return np.stack(out)


def departures(model_mesh: Mesh, heads_mm, colors, yaw_rad, pins, rng, detect):
    """(H, 478, 3) mm from each pin, on its own head, straight to the ray of its detection; NaN where the pin is hidden.

    Only what a picture can show is measured (the part across the ray), so a ray that slips past the nose onto the
    cheek behind it does no harm.
    """
    out = []
    for mesh, studio, K, cam, px in looks(model_mesh, heads_mm, colors, yaw_rad, rng, detect):
        R, t = cam[:3, :3], cam[:3, 3]
        centre = -R.T @ t
        ray = np.column_stack([(px - K[:2, 2]) / K[0, 0], np.ones(478)]) @ R
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        pin = mesh.points(pins)
        to_pin = pin - centre
        miss = centre + ray * (to_pin * ray).sum(1, keepdims=True) - pin
        normal = pins.on(mesh.vertex_normals(), mesh.faces)
        distance = np.linalg.norm(to_pin, axis=1)
        first = studio.distance_along(centre, to_pin / distance[:, None])
        shown = ((normal * to_pin).sum(1) / distance < -0.15) & (first > distance - 2.5)
        out.append(np.where(shown[:, None], miss, np.nan))
    return np.stack(out)


def centre_and_scatter(points):
    """Median (L,3) over heads, RMS scatter (L,) mm and share seen (L,)."""
    seen = np.isfinite(points[..., 0]).mean(0)
    with np.errstate(all="ignore"):
        centre = np.nanmedian(points, 0)
        spread = np.sqrt(np.nanmean(np.clip(((points - centre) ** 2).sum(2), 0, 15**2), 0))
    return centre, spread, seen


def frontal_pins(mean: Mesh, heads_mm, colors, rng, detect, parts):
    """Pins from frontal detections alone, symmetric left to right; the irises' on the eyeballs, all others on skin."""
    centre = centre_and_scatter(template_points(mean, heads_mm, colors, rng, detect))[0]
    on_skin, twin = parts.on_skin[mean.faces].all(1), topology().mirror
    skin, eyes = (even_points(mean, parts.partner, centre, twin, among) for among in (on_skin, ~on_skin))
    return joined(skin[:FIRST_OF_IRISES], eyes[FIRST_OF_IRISES:])


def rough_pins(mean: Mesh, colors, parts, seed=0):
    """Pins on the mean head alone, pictured eight times."""
    return frontal_pins(mean, np.repeat(mean.vertices_mm[None], 8, 0), colors, np.random.default_rng(seed), detector(),
                        parts)


def find_pins(mean: Mesh, random_heads_mm, colors, parts, seed=0):
    """Pins, per-yaw offsets (Y,478,3) mm and scatter (Y,478) mm; symmetric left to right."""
    detect = detector()
    rng = np.random.default_rng(seed)
    pins = frontal_pins(mean, random_heads_mm, colors, rng, detect, parts)
    twin = topology().mirror
    by_yaw = [centre_and_scatter(departures(mean, random_heads_mm, colors, yaw, pins, rng, detect))
              for yaw in YAW_BINS_RAD]
    offset, spread, seen = (np.stack([b[k] for b in by_yaw]) for k in range(3))
    with np.errstate(all="ignore"):
        offset = np.nanmean([offset, offset[::-1][:, twin] * [-1, 1, 1]], axis=0)
    spread = np.where(seen >= MIN_SEEN, np.maximum(spread, 0.3), np.inf)
    spread = np.maximum(spread, spread[::-1][:, twin])
    return pins, fill_unseen(np.where(np.isfinite(spread)[..., None], offset, np.nan)), spread


def fill_unseen(offset):
    """Offsets of yaw bins where a landmark was hidden: the nearest bin's that saw it (zero if none did)."""
    out = offset.copy()
    for landmark in range(offset.shape[1]):
        known = np.flatnonzero(np.isfinite(offset[:, landmark, 0]))
        if len(known) == 0:
            out[:, landmark] = 0
            continue
        nearest = known[np.abs(np.arange(len(offset))[:, None] - known).argmin(1)]
        out[:, landmark] = offset[nearest, landmark]
    return out


def reprojection_check(mean: Mesh, heads_mm, colors, pins, offset, rng):
    """Median pin error on heads the pins were not made from: (px at 480, mm), frontal and at 30 degrees."""
    detect = detector()
    rows = {}
    for yaw in np.radians([0, 30]):
        px_error, mm_error = [], []
        bin_offset = offset[np.argmin(np.abs(YAW_BINS_RAD - yaw))]
        for head in heads_mm:
            mesh = mean.with_vertices(head)
            studio = Studio(head, mesh.faces, colors, mesh.vertex_normals())
            K, cam = camera_about(yaw, 0.0, SIZE, 600, centre_mm=(0, -25, 30))
            px = detect(studio.picture(K, cam, SIZE, np.array([0, -0.2, 0.98])))
            if px is None:
                continue
            p = (mesh.points(pins) + bin_offset) @ cam[:3, :3].T + cam[:3, 3]
            error = np.linalg.norm(p[:, :2] / p[:, 2:] * K[0, 0] + K[:2, 2] - px, axis=1)
            px_error.append(np.median(error))
            mm_error.append(np.median(error * p[:, 2] / K[0, 0]))
        rows[f"yaw_{np.degrees(yaw):.0f}"] = {"px_at_480": round(float(np.median(px_error)), 2),
                                              "mm": round(float(np.median(mm_error)), 2), "heads": len(px_error)}
    return rows
