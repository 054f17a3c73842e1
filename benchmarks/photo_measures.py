"""What benchmarks/photo.py measures with: our modes and the peer as makers of a before and an after, their motion by
optical flow, and photos whose truth is known because they were made from others."""

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from core.plan import Plan
from previsage.photo import PhotoResult, begin, carried_out
from previsage.photo_study import Study, tools
from previsage.portrait import portrait
from recon.face478 import topology
from synth.photo_file import PhotoFile

PEER_NAMES = {"rhinoplasty": "rhinoplasty", "rhytidectomy": "rhytidectomy", "brow_lift": "brow_lift",
              "blepharoplasty_upper": "blepharoplasty", "orthognathic_maxilla": "orthognathic",
              "mentoplasty": "mentoplasty"}
VALUES = {"orthognathic_maxilla": {"impaction_mm": 3.6}, "mentoplasty": {"vertical_mm": 4.0}}
"""Steps that show from the front, for operations that move mostly along the line of sight."""
FRONTAL = ("portraits_public_domain/obama.jpg", "portraits_public_domain/biden.jpg",
           "portraits_synthetic_dynaface/img4-1024-frontal.jpg")
FLOW_PX = 500.0
"""Flow is sought with the face so high, so that its patches are as small a part of every face. Held against the maps
that tps drew with, of three faces, six operations, 40 and 100 per cent: 1.6 per cent off (root mean square) with one
look more; with 1000 px and none 1.9, and in a face of 72 px 2 per cent more than in one of 290."""
LOOKS = 4
"""So often what the flow leaves is sought again. Each look brings our modes nearer to their maps, most where a steep
motion, or new shading, lies on smooth skin. The peer's stay as they are, but for mouth corners that it tears (.0 to
.6 of what it asked, by how flow is sought)."""
CALM_PX = 3.0
"""Before each further look what is known is smoothed by this Gaussian; the look says again what that took away. On dark
skin that a new light crosses the looks otherwise build on their own noise: with the pixels' last bits drawn anew, left
over right of img4's jowl read 1.00 to 1.21 while its map said 1.00; now 1.00 to 1.01. Held against the maps of 64
pictures (root mean square): warp3d 2.8 per cent off (3.3 without), tps 1.8 (1.5; lids read up to 6 too little)."""
ROUNDS = 60
"""Of the search for where a map puts a landmark."""


class Made(NamedTuple):
    """A before and an after; mask: what may change. start, end (478,2): landmarks, and where they are to go, px."""

    before: np.ndarray
    after: np.ndarray
    mask: np.ndarray
    start: np.ndarray
    end: np.ndarray


Maker = Callable[[np.ndarray, str, float], Made]


def maker(who: str, peer: Path | None) -> Maker:
    """`peer`, or a mode of ours."""
    return Peer(peer) if who == "peer" and peer is not None else Ours(who)


class Ours:
    """A mode; the photo's study is kept as long as the photo is."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.picture: np.ndarray | None = None

    def __call__(self, picture: np.ndarray, procedure: str, intensity: float) -> Made:
        """All of it, from the pixels."""
        if self.picture is not picture:
            self.picture, self.study = picture, begin(in_memory(picture))
        return made_of(carried_out(self.study, plan_for(procedure, intensity), self.mode))


def by_map(study: Study, procedure: str, intensity: float, made: Made, rows: np.ndarray | None = None) -> float:
    """The share of the motion asked by which landmarks moved in the map that warp3d drew with: what flow, which the new
    shading misleads on smooth skin, is held against. Of the same landmarks as `landed`."""
    plan = plan_for(procedure, intensity)
    studio = study.studio(study.prediction(plan).shown("mean").total_mm(), [procedure], srgb=False)
    one = studio.made(studio.view)
    assert one.seen is not None and one.drawn_px is not None
    window = one.seen.correspondence.window
    corner = np.array([w.start * study.finer + f.start for w, f in zip(study.window, window, strict=True)])[::-1]
    chosen, asked = strongest(made, rows)
    start = (made.start[chosen] + 0.5) * study.finer - 0.5 - corner
    at = start.copy()
    for _ in range(ROUNDS):  # where p + u(p) is where the landmark was
        u = cv2.remap(one.drawn_px, at[None].astype(np.float32), None, cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_REPLICATE)[0]
        at -= 0.7 * (at + u - start)
    return float(((at - start) / study.finer * asked).sum() / (asked**2).sum())


class Peer:
    """LandmarkDiff's `LandmarkDiffPipeline(mode="tps").generate`."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))
        import landmarkdiff.inference as inference
        import landmarkdiff.landmarks as landmarks
        import torch

        landmarks._extract_tasks_api = offline
        self.inference = inference
        self.pipeline = inference.LandmarkDiffPipeline(mode="tps", device=torch.device("cpu"))
        self.pipeline.load()

    def __call__(self, picture: np.ndarray, procedure: str, intensity: float, seed: int = 0) -> Made:
        """As its own program does it: squeezed to 512 x 512."""
        out = self.pipeline.generate(picture[..., ::-1], procedure=PEER_NAMES[procedure], intensity=intensity,
                                     seed=seed)
        return Made(before=out["input"][..., ::-1], after=out["output"][..., ::-1], mask=out["mask"],
                    start=out["landmarks_original"].pixel_coords, end=out["landmarks_manipulated"].pixel_coords)

    def native(self, picture: np.ndarray, procedure: str, intensity: float) -> np.ndarray:
        """The same functions at the picture's own size, which its program does not offer."""
        i, bgr = self.inference, np.ascontiguousarray(picture[..., ::-1])
        height, width = bgr.shape[:2]
        face = i.extract_landmarks(bgr)
        moved = i.apply_procedure_preset(face, PEER_NAMES[procedure], intensity, image_size=width)
        mask = i.generate_surgical_mask(face, PEER_NAMES[procedure], width, height)
        return i.mask_composite(i.warp_image_tps(bgr, face.pixel_coords, moved.pixel_coords), bgr, mask)


def peer_symmetry(folder: Path) -> Callable[[np.ndarray], float]:
    """The peer's score, from its demo's own functions (the demo itself needs Gradio)."""
    landmarks = Peer(folder).inference
    wanted = {"compute_symmetry_score", "SYMMETRY_PAIRS", "MIDLINE_TOP", "MIDLINE_BOTTOM"}
    tree = ast.parse((folder / "scripts" / "hf_space" / "app.py").read_text("utf-8"))
    tree.body = [node for node in tree.body if wanted & {getattr(node, "name", ""), *(
        getattr(t, "id", "") for t in (*getattr(node, "targets", ()), getattr(node, "target", None)))}]
    names: dict[str, Any] = {"np": np, "FaceLandmarks": Any}
    exec(compile(tree, "app.py", "exec"), names)  # noqa: S102 (its own folder, given by the person who runs this)
    return lambda picture: float(names["compute_symmetry_score"](landmarks.extract_landmarks(
        np.ascontiguousarray(picture[..., ::-1])))[0])


def offline(*_: Any) -> None:
    """Instead of the peer's download."""
    raise RuntimeError("not downloaded")


def in_memory(picture: np.ndarray) -> PhotoFile:
    """A photo that was never a file."""
    return PhotoFile(name="photo", format="png", picture=picture, alpha=None, profile=None, notes=())


def plan_for(procedure: str, intensity: float) -> Plan:
    """So many per cent; of the steps that show, where most of an operation goes along the line of sight."""
    steps = VALUES.get(procedure)
    how: dict[str, Any] = {"intensity": intensity} if steps is None else {
        "values": {name: value * intensity / 100 for name, value in steps.items()}}
    return Plan.model_validate({"procedures": [{"procedure": procedure, **how}]})


def made_of(result: PhotoResult) -> Made:
    """What is measured of a result."""
    return Made(before=result.photo.picture, after=result.output, mask=result.mask, start=result.landmarks_before,
                end=result.landmarks_after)


def flow_at(made: Made, rows: np.ndarray) -> np.ndarray:
    """Motion (px) from before to after at landmarks; DIS, to its finest scale, as the mean of the pictures' flow and
    of their mirror images': on smooth skin its sweep from one side to the other favours one. What is left when the
    after is moved back by it is sought again and added, until little is left."""
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    finder.setFinestScale(0)
    room = 0.2 * np.ptp(made.start[:, 1])
    x, y = np.maximum(made.start.min(0) - room, 0).astype(int)
    right, bottom = np.minimum(made.start.max(0) + room, made.before.shape[1::-1]).astype(int)
    zoom = FLOW_PX / float(np.ptp(made.start[:, 1]))
    size = (round((right - x) * zoom), round((bottom - y) * zoom))
    how = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
    both = [cv2.resize(cv2.cvtColor(np.ascontiguousarray(p[y:bottom, x:right]), cv2.COLOR_RGB2GRAY), size,
                       interpolation=how) for p in (made.before, made.after)]
    pixels = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in size)), -1)

    def flow(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        mirrored = finder.calc(*(np.ascontiguousarray(p[:, ::-1]) for p in (one, other)), None)[:, ::-1] * [-1, 1]
        return ((finder.calc(one, other, None) + mirrored) / 2).astype(np.float32)

    found = flow(*both)
    for _ in range(LOOKS):
        found = cv2.GaussianBlur(found, (0, 0), CALM_PX)
        back = cv2.remap(both[1], pixels + found, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        found += flow(both[0], back)
    at = np.clip((made.start[rows] - [x, y] + 0.5) * zoom - 0.5, 0, np.array(size) - 1).astype(np.float32)
    return cv2.remap(found, at[None], None, cv2.INTER_LINEAR)[0] / zoom


def landed(made: Made, rows: np.ndarray | None = None) -> tuple[float, float]:
    """Motion asked (px, root mean square) and the share that flow finds; of the strongest of some landmarks.

    Without the face's outline, where flow cannot tell skin from what lies behind it.
    """
    chosen, asked = strongest(made, rows)
    if np.abs(asked).max() < 1e-6:
        return 0.0, float("nan")
    went = flow_at(made, chosen)
    return float(np.sqrt((asked**2).sum(1).mean())), float((went * asked).sum() / (asked**2).sum())


def strongest(made: Made, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the landmarks that are asked to move most, and their motions (px)."""
    asked = made.end - made.start
    size = np.linalg.norm(asked[:468], axis=1)
    chosen = np.setdiff1d(np.arange(468) if rows is None else rows, topology().outline)
    chosen = chosen[size[chosen] >= 0.5 * size[chosen].max()]
    return chosen, asked[chosen]


def about(points: np.ndarray, centre: int, share: float) -> np.ndarray:
    """Landmarks within a share of the distance between the outer eye corners, on the same side of the face."""
    near = np.linalg.norm(points - points[centre], axis=1) < share * np.linalg.norm(points[263] - points[33])
    left = np.zeros(478, bool)
    left[topology().left] = True
    return np.flatnonzero(near & (left == left[centre]) & (np.arange(478) < 468))


def sized(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """A square picture at another size, continued above and below."""
    side = min(size_wh)
    how = cv2.INTER_AREA if side < picture.shape[0] else cv2.INTER_CUBIC
    large = cv2.resize(picture, (side, side), interpolation=how)
    tall = size_wh[1] - side
    return cv2.copyMakeBorder(large, tall // 2, tall - tall // 2, 0, 0, cv2.BORDER_REFLECT)


def frontal(data: Path) -> dict[str, np.ndarray]:
    """The frontal portraits, cut square about the face."""
    found = {"astronaut": portrait()}
    for path in FRONTAL:
        if (data / path).exists():
            whole = np.asarray(Image.open(data / path).convert("RGB"))
            face = tools().detector.follow(whole, None)
            if face is not None:
                middle, half = face.points_px[:468, :2].mean(0), min(1.1 * face.height_px, min(whole.shape[:2]) / 2)
                left, top = np.clip(middle - half, 0, np.array(whole.shape[1::-1]) - 2 * half).astype(int)
                found[Path(path).stem] = whole[top:top + int(2 * half), left:left + int(2 * half)]
    return found


def symmetric(picture: np.ndarray) -> np.ndarray:
    """The picture turned upright, its right half (at the left) beside its mirror image."""
    face = tools().detector.follow(picture, None)
    if face is None:
        raise SystemExit("no face was found in a frontal portrait")
    t, points = topology(), face.points_px[:, :2]
    pairs = points[t.left] - points[t.mirror[t.left]]
    turn, side = np.arctan2(*pairs.sum(0)[::-1]), picture.shape[0]
    middle = ((points[t.left] + points[t.mirror[t.left]]) / 2).mean(0)
    M = cv2.getRotationMatrix2D(tuple(middle.tolist()), float(np.degrees(turn)), 1.0)
    M[0, 2] += (side - 1) / 2 - middle[0]
    upright = cv2.warpAffine(picture, M, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    half = upright[:, :(side + 1) // 2]
    return np.ascontiguousarray(np.concatenate([half, half[:, ::-1][:, side % 2:]], 1))


def framings(picture: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same face larger, smaller, turned, cut and moved: picture, and the affine map (2,3) from the first one."""
    side = picture.shape[0]
    out = {}
    for factor in (1.0, 0.25, 0.5, 2.0, 4.0):
        n = round(side * factor)
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        out[f"{factor:g} x the pixels"] = (cv2.resize(picture, (n, n), interpolation=how),
                                           np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2]]))
    for degrees in (-30, -15, 15, 30):
        M = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, 1.0)
        out[f"rolled by {degrees}°"] = (cv2.warpAffine(picture, M, (side, side), flags=cv2.INTER_CUBIC,
                                                       borderMode=cv2.BORDER_REFLECT), M)
    for label, cut in (("cut close", (0.15, 0.12, 0.85, 0.92)), ("face to the side", (0.0, 0.0, 0.78, 1.0))):
        x0, y0, x1, y1 = (int(c * side) for c in cut)
        out[label] = (np.ascontiguousarray(picture[y0:y1, x0:x1]), np.array([[1.0, 0, -x0], [0, 1, -y0]]))
    wide = cv2.copyMakeBorder(picture, side, side, side, side, cv2.BORDER_REFLECT_101)
    wide[:side] = wide[2 * side:] = wide[:, :side] = wide[:, 2 * side:] = 110
    out["a third of the frame"] = (wide, np.array([[1.0, 0, side], [0, 1, side]]))
    return out
