"""Texture coordinates: the MakeHuman layout of the head, stretched so that the face gets the pixels.

The face island is a star-shaped region about the nose. Along each direction its radius is replaced by the share of
(weighted) skin area inside it, which keeps the map one-to-one and gives equal area equal pixels; the outline is then
pushed out to a rectangle. Ears, mouth lining and eyes get boxes in a strip below.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

STRIP = 0.16
DIRECTIONS, STEPS = 360, 400
MARGIN = 0.006


def islands(faces_uv, count):
    """Label of the UV island of each triangle, largest first."""
    from tools.head_model.sample import components

    return components(faces_uv, count)[faces_uv[:, 0]]


def face_weight(centroid_mm, nose_tip_mm):
    """How much texture a triangle deserves: 1 on the face, little on the scalp and neck."""
    forward = np.clip((centroid_mm[:, 2] - nose_tip_mm[2] + 130) / 60, 0.06, 1)
    near = np.exp(-((np.linalg.norm(centroid_mm - nose_tip_mm, axis=1) / 95) ** 4))
    return 0.06 + forward * near


def equal_area_disc(uv, faces_uv, area, centre):
    """Map island coordinates to the unit disc: direction kept, radius = sqrt(share of area within it)."""
    corner = uv[faces_uv].mean(1) - centre
    angle, radius = np.arctan2(corner[:, 1], corner[:, 0]), np.linalg.norm(corner, axis=1)
    point = uv - centre
    angle_p, radius_p = np.arctan2(point[:, 1], point[:, 0]), np.linalg.norm(point, axis=1)
    reach = radius_p[np.unique(faces_uv)].max() * 1.02
    cell_a = ((angle + np.pi) / (2 * np.pi) * DIRECTIONS).astype(int) % DIRECTIONS
    cell_r = np.minimum((radius / reach * STEPS).astype(int), STEPS - 1)
    density = np.zeros((DIRECTIONS, STEPS))
    np.add.at(density, (cell_a, cell_r), area)
    density = gaussian_filter1d(gaussian_filter1d(density, 20, axis=0, mode="wrap"), 5, axis=1, mode="nearest")
    density += 1e-4 * density.max()
    share = np.cumsum(density, 1)
    share /= share[:, -1:]
    share = np.concatenate([np.zeros((DIRECTIONS, 1)), share], 1)
    a = (angle_p + np.pi) / (2 * np.pi) * DIRECTIONS - 0.5
    r = np.minimum(radius_p / reach * STEPS, STEPS - 1e-6)
    a0, r0 = np.floor(a).astype(int), r.astype(int)
    fa, fr = a - a0, r - r0
    at = lambda i, j: share[i % DIRECTIONS, j]  # noqa: E731
    inside = ((at(a0, r0) * (1 - fr) + at(a0, r0 + 1) * fr) * (1 - fa)
              + (at(a0 + 1, r0) * (1 - fr) + at(a0 + 1, r0 + 1) * fr) * fa)
    return angle_p, np.sqrt(inside)


def to_box(points, low, high):
    """Scale points uniformly per axis into the box [low, high]."""
    least, most = points.min(0), points.max(0)
    return low + (points - least) / (most - least) * (high - low)


def unwrap(vertices_mm, faces, uv, faces_uv, nose_tip_mm, eye_face_count, eye_points):
    """New (T,2) coordinates (glTF: v down) and (F,3) indices for skin faces followed by two eyes' faces.

    vertices_mm, faces, uv, faces_uv describe the skin; the eyes' discs are laid out from the unit sphere `eye_points`.
    """
    corners = vertices_mm[faces]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    weight = area * face_weight(corners.mean(1), nose_tip_mm)
    label = islands(faces_uv, len(uv))
    out = np.zeros_like(uv)
    main = label == 0
    nearest = np.argmin(np.linalg.norm(corners.mean(1)[main] - nose_tip_mm, axis=1))
    centre = uv[faces_uv[main][nearest]].mean(0)
    upright = np.array([[0, 1], [1, 0]])  # MakeHuman lays the head on its side: its x runs down the face
    turned = (uv - centre) @ upright.T
    angle, radius = equal_area_disc(turned, faces_uv[main], weight[main], np.zeros(2))
    square = np.minimum(1 / np.maximum(np.abs(np.cos(angle)), 1e-9), 1 / np.maximum(np.abs(np.sin(angle)), 1e-9))
    stretch = 0.35 * square + 0.65  # towards the square, without its hard corners
    disc = np.stack([np.cos(angle), np.sin(angle)], 1) * (radius * stretch)[:, None]
    used = np.unique(faces_uv[main])
    box = to_box(disc[used], np.array([MARGIN, MARGIN]), np.array([1 - MARGIN, 1 - STRIP - MARGIN]))
    out[used] = box
    small = [k for k in np.unique(label) if k != 0]
    eye_boxes = 2
    width = 1 / (len(small) + eye_boxes)
    for slot, k in enumerate(small):
        rows = np.unique(faces_uv[label == k])
        low = np.array([slot * width + MARGIN, 1 - STRIP + MARGIN])
        out[rows] = to_box(uv[rows] * [1, -1], low, low + [width - 2 * MARGIN, STRIP - 2 * MARGIN])
    polar = np.arccos(np.clip(eye_points[:, 2], -1, 1)) / np.pi
    around = np.arctan2(eye_points[:, 1], eye_points[:, 0])
    disc = 0.5 + 0.5 * polar[:, None] * np.stack([np.cos(around), -np.sin(around)], 1)
    eyes = []
    for slot in (len(small), len(small) + 1):
        low = np.array([slot * width + MARGIN, 1 - STRIP + MARGIN])
        eyes.append(low + disc * [width - 2 * MARGIN, STRIP - 2 * MARGIN])
    return np.concatenate([out, *eyes]), label
