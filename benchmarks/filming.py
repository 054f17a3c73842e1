"""Film a head that moves: what `head_capture.py` does for a rigid head and a clean camera, for harder cases.

The room, the head's turn, the lights' formula and the landmarks of the truth are head_capture's own (its module is
handed in as `tool`); added are a shape that changes, a phone that walks round a still head, motion blur, a drifting
exposure and things that are worn. A film is a folder with `video.mp4`, `truth.npz` (the keys of head_capture.py; verts:
the neutral head without what is worn) and `film.json`.

Letters: K px_from_cam (3,3), pixel centres at whole numbers; P cam_from_head (4,4), mm, OpenCV axes.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import numpy as np
import open3d as o3d
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial.transform import Rotation, Slerp

SUBSAMPLES = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))
"""Where in a pixel its four rays go; with motion blur each has its own moment of the exposure."""
AMBIENT, GLOSS, GLOSS_POWER, GAMMA, NOISE_SD = 0.30, 0.06, 24, 1.3, 0.010
"""Those of head_capture.py."""
OCTAVES = ((14.0, 0.5), (5.0, 0.6), (2.0, 0.9), (0.9, 0.9))
FRECKLE_CELL_MM, LATTICE = 2.6, 48
ROOM_HALF_MM = (1900.0, 1300.0, 1900.0)
LIGHTS = {
    "room": (((-.5, -.7, -1), (.62, .58, .54)), ((.8, -.2, -.6), (.22, .24, .28))),
    "window": (((.9, -.25, -.8), (.60, .64, .70)), ((-.7, -.4, -.7), (.20, .17, .14))),
    "ceiling": (((.1, -1.0, -.6), (.66, .64, .60)), ((-.5, .1, -.9), (.18, .18, .18)))}
"""Direction to the light in the first camera's axes (x right, y down, z forward) and its colour."""


@dataclass(frozen=True)
class Actor:
    """Who is filmed: a neutral surface in mm, its paint, and how it moves and what it wears.

    colors are per vertex; or uv per triangle corner (origin bottom left) and texture. `moved_mm(phase)` is the surface
    at a moment of the film in [0, 1], None: it never changes. `worn` is a rigid mesh with one colour, no truth.
    """

    verts_mm: Float[np.ndarray, "v 3"]
    tris: Int[np.ndarray, "t 3"]
    colors: UInt8[np.ndarray, "v 3"] | None = None
    uv: Float[np.ndarray, "t 3 2"] | None = None
    texture: UInt8[np.ndarray, "h w 3"] | None = None
    normals: Float[np.ndarray, "v 3"] | None = None
    """For shading, of an actor that keeps its shape; None: those of the triangles."""
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 20.0)
    skin_detail: float = 0.12
    noise_seed: int = 0
    moved_mm: Callable[[float], Float[np.ndarray, "v 3"]] | None = None
    worn: tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "u 3"], tuple[int, int, int]] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shot:
    """How a film is made; the default is that of the three captures. Angles in degrees, each to both sides."""

    seed: int
    frames: int = 90
    width: int = 720
    height: int = 1280
    fps: int = 30
    yaw_deg: float = 65.0
    pitch_deg: float = 18.0
    distance_mm: float = 440.0
    crf: int = 20
    light: str = "room"
    shutter: float = 0.0
    """Exposure time as a part of the time between frames; 0: sharp."""
    gain_swing: float = 0.0
    """The gain goes from 1 - this to 1 + this."""
    white_balance_swing: float = 0.0
    phone_moves: bool = False
    """The phone goes round a still head: the room moves in the picture and the light stays with the head."""
    k1: float = 0.0
    """The lens bends: a point r off the axis (r = 1 at 45 degrees) is seen at r + k1 r^3. The room does not show it."""


def film(tool: ModuleType, actor: Actor, shot: Shot, out: Path, note: dict[str, Any]) -> None:
    """Write the folder `out` at once when it is complete. OSError: it exists and holds files."""
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".filming-") as scratch:
        folder = Path(scratch) / out.name
        folder.mkdir()
        K = camera(shot)
        rng = np.random.default_rng(shot.seed)
        poses = tool.trajectory(shot.frames, shot.yaw_deg, shot.pitch_deg, rng, shot.distance_mm,
                                np.asarray(actor.centre_mm))
        scenery = room_box(tool, rng) if shot.phone_moves else tool.room(shot.width, shot.height, rng)
        bare = tool.Head(actor.verts_mm, actor.tris)
        if actor.normals is not None:
            bare.normals = actor.normals
        still = sharp(actor, bare, K, poses[0], shot, scenery)
        np.savez_compressed(folder / "truth.npz", verts=bare.verts, tris=bare.tris, K=K, cam_from_head=poses,
                            landmarks478=tool.landmarks478(bare, (still * 255).astype(np.uint8), K, poses[0]))
        encode(folder / "video.mp4", pictures(tool, actor, bare, K, poses, shot, scenery, rng), shot)
        (folder / "film.json").write_text(json.dumps(note | actor.facts | {"shot": vars(shot)}, indent=1) + "\n")
        os.replace(folder, out)


def camera(shot: Shot) -> Float[np.ndarray, "3 3"]:
    """K of a phone held upright, 48 degrees across the short side."""
    focal_px = 1.12 * shot.width
    return np.array([[focal_px, 0, shot.width / 2 - .5], [0, focal_px, shot.height / 2 - .5], [0, 0, 1.0]])


def pictures(tool: ModuleType, actor: Actor, bare: Any, K: Float[np.ndarray, "3 3"], poses: Float[np.ndarray, "n 4 4"],
             shot: Shot, scenery: Any, rng: np.random.Generator) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The frames as the sensor gives them."""
    gains = gain_of(len(poses), shot.gain_swing, shot.white_balance_swing)
    dressed = tool.Head(*with_worn(actor, actor.verts_mm)) if actor.worn else bare
    shape, head = actor.verts_mm, dressed
    for i, pose in enumerate(poses):
        if actor.moved_mm is not None:
            now = actor.moved_mm(i / (len(poses) - 1))
            if not np.array_equal(now, shape):
                shape, head = now, tool.Head(*with_worn(actor, now))
        moments = [pose_at(poses, i + dt) for dt in moments_of(shot.shutter, len(SUBSAMPLES))]
        linear = exposed(actor, head, K, moments, pose, shot, scenery)
        img = respond(linear * gains[i]) + NOISE_SD * rng.standard_normal(linear.shape, np.float32)
        yield (np.clip(img, 0, 1) * 255).astype(np.uint8)


def sharp(actor: Actor, head: Any, K: Float[np.ndarray, "3 3"], pose: Float[np.ndarray, "4 4"], shot: Shot,
          scenery: Any) -> Float[np.ndarray, "h w 3"]:
    """One frame of the neutral head without blur, noise or gain: what the true landmarks are found in."""
    return respond(exposed(actor, head, K, [pose] * len(SUBSAMPLES), pose, shot, scenery))


def exposed(actor: Actor, head: Any, K: Float[np.ndarray, "3 3"], moments: list[Float[np.ndarray, "4 4"]],
            pose: Float[np.ndarray, "4 4"], shot: Shot, scenery: Any) -> Float[np.ndarray, "h w 3"]:
    """Linear light of one frame: the mean of one picture per moment, in front of the room as it is mid-exposure."""
    size = (shot.height, shot.width)
    total, covered = np.zeros((*size, 3), np.float32), np.zeros((*size, 1), np.float32)
    for moment, offset in zip(moments, SUBSAMPLES, strict=True):
        hit, tri, bary = cast(head, K, moment, size, offset, shot.k1)
        lights = [(d @ lamp_rotation(moment, shot).T, c) for d, c in lights_of(shot.light)]
        total[hit] += shade(actor, head, tri, bary, moment, lights)
        covered[hit] += 1
    back = walls(scenery, K, pose, size) if shot.phone_moves else scenery
    return total / len(moments) + (1 - covered / len(moments)) * back


def cast(head: Any, K: Float[np.ndarray, "3 3"], P: Float[np.ndarray, "4 4"], size: tuple[int, int],
         offset_px: tuple[float, float], k1: float = 0.0) -> tuple[
             tuple[np.ndarray, np.ndarray], Int[np.ndarray, " k"], Float[np.ndarray, "k 3"]]:
    """Rows and columns of the pixels whose ray meets the head, with triangle and barycentric coordinates."""
    at = head.verts @ P[:3, :3].T.astype(np.float32) + P[:3, 3].astype(np.float32)
    if at[:, 2].min() <= 1:
        raise ValueError("The camera is inside the head.")
    xy = at[:, :2] / at[:, 2:]
    px = xy * (1 + k1 * (xy**2).sum(1, keepdims=True)) * K[[0, 1], [0, 1]] + K[:2, 2]
    (x0, y0), (x1, y1) = (np.clip(np.array(e), 0, [size[1], size[0]]).astype(int)
                          for e in (np.floor(px.min(0)) - 1, np.ceil(px.max(0)) + 2))
    x, y = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
    seen = np.stack([(x + offset_px[0] - K[0, 2]) / K[0, 0], (y + offset_px[1] - K[1, 2]) / K[1, 1]], -1)
    way = np.concatenate([straightened(seen, k1), np.ones((*x.shape, 1))], -1) @ P[:3, :3]
    rays = np.empty((*x.shape, 6), np.float32)
    rays[..., :3], rays[..., 3:] = -P[:3, :3].T @ P[:3, 3], way
    found = head.scene.cast_rays(o3d.core.Tensor(rays), nthreads=1)
    ok: Bool[np.ndarray, "a b"] = np.isfinite(found["t_hit"].numpy())
    two = found["primitive_uvs"].numpy()[ok]
    return ((y[ok], x[ok]), found["primitive_ids"].numpy()[ok].astype(np.int64),
            np.column_stack([1 - two.sum(1), two]).astype(np.float32))


def straightened(seen: Float[np.ndarray, "a b 2"], k1: float) -> Float[np.ndarray, "a b 2"]:
    """Where points that a lens with k1 shows at `seen` really lie (both on the plane at distance one), by Newton."""
    far = np.linalg.norm(seen, axis=-1, keepdims=True)
    r = far
    for _ in range(6 if k1 else 0):
        r = r - (r + k1 * r**3 - far) / (1 + 3 * k1 * r**2)
    return seen * np.where(far > 0, r / np.maximum(far, 1e-12), 1)


def shade(actor: Actor, head: Any, tri: Int[np.ndarray, " k"], bary: Float[np.ndarray, "k 3"],
          P: Float[np.ndarray, "4 4"], lights: list[tuple[np.ndarray, np.ndarray]]) -> Float[np.ndarray, "k 3"]:
    """head_capture's light: Lambert and Blinn, both sides of a surface lit; the skin's grain moves with the skin."""
    corner = head.tris[tri].astype(np.int64)
    R, t = P[:3, :3].astype(np.float32), P[:3, 3].astype(np.float32)
    normal = unit(mixed(head.normals, corner, bary) @ R.T)
    view = -unit(mixed(head.verts, corner, bary) @ R.T + t)
    side = np.sign((normal * view).sum(1, keepdims=True))
    normal *= np.where(side == 0, 1, side)
    light = np.full((len(tri), 3), AMBIENT, np.float32)
    gloss = np.zeros((len(tri), 1), np.float32)
    for direction, color in lights:
        direction, color = direction.astype(np.float32), color.astype(np.float32)
        light += np.clip(normal @ direction, 0, None)[:, None] * color
        shine = np.clip((normal * unit(direction + view)).sum(1, keepdims=True), 0, None)
        gloss += np.float32(GLOSS * color.mean()) * shine**GLOSS_POWER
    return np.clip(albedo(actor, tri, corner, bary) * light + gloss, 0, None)


def albedo(actor: Actor, tri: Int[np.ndarray, " k"], corner: Int[np.ndarray, "k 3"],
           bary: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, "k 3"]:
    """The paint with pores and freckles; they are asked for on the neutral surface, so they stay with the skin."""
    skin = tri < len(actor.tris)
    inside = corner if skin.all() else np.where(skin[:, None], corner, 0)
    if actor.texture is not None and actor.uv is not None:
        h, w = actor.texture.shape[:2]
        uv = mixed(actor.uv.reshape(-1, 2), 3 * np.where(skin, tri, 0)[:, None] + np.arange(3), bary)
        paint = remapped(actor.texture, uv[:, 0] * (w - 1), (1 - uv[:, 1]) * (h - 1)) / np.float32(255)
    else:
        assert actor.colors is not None, "an actor has colours or a texture"
        paint = mixed(actor.colors, inside, bary) / np.float32(255)
    if actor.skin_detail > 0:
        paint = paint * grain(mixed(actor.verts_mm, inside, bary), actor.skin_detail, actor.noise_seed)[:, None]
    if actor.worn:
        paint[~skin] = np.array(actor.worn[2], np.float32) / 255
    return paint


def grain(points_mm: Float[np.ndarray, "k 3"], amplitude: float, seed: int) -> Float[np.ndarray, " k"]:
    """The factor of head_capture's --skin-detail at points of the neutral head."""
    rng = np.random.default_rng(seed)
    rough = sum(weight * noise(points_mm, cell, rng) for cell, weight in OCTAVES)
    spots = np.clip(noise(points_mm, FRECKLE_CELL_MM, rng) - 0.55, 0, 1) * 1.6
    return ((1 + amplitude * rough) * (1 - amplitude * 2.5 * spots)).astype(np.float32)


def noise(points_mm: Float[np.ndarray, "k 3"], cell_mm: float, rng: np.random.Generator) -> Float[np.ndarray, " k"]:
    """head_capture.solid_noise, ten times faster: between two layers of the lattice laid out as one picture.

    Values differ by up to the 1/32 cell to which cv2.remap rounds.
    """
    n = LATTICE
    lattice = np.pad(rng.uniform(-1, 1, (n, n, n)).astype(np.float32), ((0, 1),) * 3, mode="wrap")
    sheet = lattice.reshape((n + 1) * (n + 1), n + 1)
    c = np.mod(points_mm.astype(np.float32) / np.float32(cell_mm), n)
    c[c >= n] = 0  # what rounding makes of a tiny negative number
    layer = np.floor(c[:, 0])
    low, high = (remapped(sheet, c[:, 2], c[:, 1] + (n + 1) * (layer + up)) for up in (0, 1))
    return low + (c[:, 0] - layer) * (high - low)


def remapped(picture: np.ndarray, x: Float[np.ndarray, " k"], y: Float[np.ndarray, " k"]) -> np.ndarray:
    """Bilinear samples of a picture at k places; cv2.remap wants them in rows shorter than 32767."""
    k, row = len(x), 4096
    place = np.zeros((2, -(-max(k, 1) // row) * row), np.float32)
    place[0, :k], place[1, :k] = x, y
    got = cv2.remap(picture, *place.reshape(2, -1, row), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return got.reshape(place.shape[1], *picture.shape[2:])[:k]


def mixed(values: np.ndarray, corner: Int[np.ndarray, "k 3"], bary: Float[np.ndarray, "k 3"]) -> np.ndarray:
    """Values per vertex at points inside triangles."""
    values = np.asarray(values, np.float32)
    return (values[corner[:, 0]] * bary[:, :1] + values[corner[:, 1]] * bary[:, 1:2]
            + values[corner[:, 2]] * bary[:, 2:])


def unit(vectors: Float[np.ndarray, "*k 3"]) -> Float[np.ndarray, "*k 3"]:
    """Of length one; a zero stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def with_worn(actor: Actor, verts_mm: Float[np.ndarray, "v 3"]) -> tuple[np.ndarray, np.ndarray]:
    """The surface together with what is worn."""
    if actor.worn is None:
        return verts_mm, actor.tris
    return np.concatenate([verts_mm, actor.worn[0]]), np.concatenate([actor.tris, actor.worn[1] + len(verts_mm)])


def lights_of(name: str) -> list[tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]]:
    """Unit directions and colours."""
    return [(unit(np.array(d, float)), np.array(c, float)) for d, c in LIGHTS[name]]


def lamp_rotation(P: Float[np.ndarray, "4 4"], shot: Shot) -> Float[np.ndarray, "3 3"]:
    """Camera axes from the axes in which the lights are given: with a phone that moves, they stay with the head."""
    return P[:3, :3] @ np.diag([1.0, -1.0, -1.0]) if shot.phone_moves else np.eye(3)


def moments_of(shutter: float, count: int) -> Float[np.ndarray, " n"]:
    """Moments of an exposure centred on its frame, in frames: the middles of `count` equal parts."""
    return shutter * ((np.arange(count) + .5) / count - .5)


def pose_at(poses: Float[np.ndarray, "n 4 4"], frame: float) -> Float[np.ndarray, "4 4"]:
    """The pose between two frames (the ends hold): rotation by slerp, the head frame's origin on a straight line."""
    frame = float(np.clip(frame, 0, len(poses) - 1))
    i = min(int(frame), len(poses) - 2)
    if frame == i:
        return poses[i]
    a, b = poses[i], poses[i + 1]
    out = np.eye(4)
    out[:3, :3] = Slerp([0, 1], Rotation.from_matrix(np.stack([a[:3, :3], b[:3, :3]])))(frame - i).as_matrix()
    out[:3, 3] = a[:3, 3] + (frame - i) * (b[:3, 3] - a[:3, 3])
    return out


def gain_of(frames: int, swing: float, white_balance_swing: float) -> Float[np.ndarray, "n 3"]:
    """Gain of red, green, blue per frame: one and a half swings of brightness, one of red against blue, from 1."""
    phase = 2 * np.pi * np.linspace(0, 1, frames)
    tint = white_balance_swing * np.sin(phase)
    return (1 + swing * np.sin(1.5 * phase))[:, None] * np.stack([1 + tint, np.ones(frames), 1 - tint], 1)


def respond(linear: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """The camera's curve, after the sensor is full."""
    return np.clip(linear, 0, 1).astype(np.float32) ** np.float32(1 / GAMMA)


def room_box(tool: ModuleType, rng: np.random.Generator, side_px: int = 1400) -> Float[np.ndarray, "s 6s 3"]:
    """Six walls side by side, each a picture of head_capture's kind."""
    return np.concatenate([tool.room(side_px, side_px, rng) for _ in range(6)], 1).astype(np.float32)


def walls(atlas: Float[np.ndarray, "s s6 3"], K: Float[np.ndarray, "3 3"], P: Float[np.ndarray, "4 4"],
          size: tuple[int, int]) -> Float[np.ndarray, "h w 3"]:
    """The room as the camera sees it: a box round the head's origin, with axes of the head (slab method)."""
    x, y = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    way = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones(x.shape)], -1).reshape(-1, 3) @ P[:3, :3]
    eye, half = -P[:3, :3].T @ P[:3, 3], np.array(ROOM_HALF_MM)
    if (np.abs(eye) >= half).any():
        raise ValueError("The camera is outside the room.")
    with np.errstate(divide="ignore"):
        reach = (np.where(way < 0, -half, half) - eye) / way
    axis = np.nanargmin(np.where(way == 0, np.inf, reach), 1)
    rows = np.arange(len(way))
    at = (eye + way * reach[rows, axis][:, None]) / half
    s = atlas.shape[0]
    u, v = at[rows, np.array([1, 2, 0])[axis]], at[rows, np.array([2, 0, 1])[axis]]
    face = 2 * axis + (way[rows, axis] > 0)
    px = remapped(atlas, face * s + np.clip((u + 1) / 2 * (s - 1), 0, s - 1), np.clip((v + 1) / 2 * (s - 1), 0, s - 1))
    return px.reshape(*size, 3)


def encode(path: Path, frames: Iterator[UInt8[np.ndarray, "h w 3"]], shot: Shot) -> None:
    """H.264 as head_capture writes it, on one thread."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=shot.fps,
                                      options={"crf": str(shot.crf), "preset": "medium", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = shot.width, shot.height, "yuv420p"
        for img in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(img, format="rgb24")))
        container.mux(stream.encode())
