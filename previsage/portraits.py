"""Portraits: training pairs from a folder of photos with one face each.

Nothing is operated on, so before and after are the same picture; what is learned is to paint real skin into a region,
held by the control picture.
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps

from core.errors import InputRefused
from core.landmarks import MEDIAPIPE478, Landmarks2D
from recon.detect import Detector
from render.conditions import SMALLEST_FACE_PX, control_picture
from synth.diffusion.crop import crop_around
from synth.diffusion.prompts import prompt_for
from synth.training import Pair

KINDS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
GROUPS: dict[str, tuple[int, ...]] = {
    "rhinoplasty": (168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 48, 278, 129, 358),
    "mentoplasty": (152, 148, 377, 175, 17, 18),
    "lip_augmentation": (61, 291, 0, 17, 37, 267, 84, 314), "blepharoplasty_upper": (159, 386, 157, 384, 161, 388),
    "brow_lift": (105, 334, 107, 336, 70, 300), "malar_augmentation": (50, 280, 117, 346, 123, 352)}
"""Landmarks around which a portrait's mask lies, by the operation whose prompt it gets."""


class PortraitPairs:
    """Makes pair n. left_out: files without one clear face."""

    def __init__(self, folder: Path, seed: int, size_px: int = 512) -> None:
        self.folder, self.seed, self.size_px = folder, seed, size_px
        files = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in KINDS) if folder.is_dir() else []
        detector = Detector()
        found = {name: face_points(folder / name, detector) for name in files}
        self.faces = {name: points for name, points in found.items() if points is not None}
        self.left_out = tuple(name for name in files if name not in self.faces)
        if not self.faces:
            raise InputRefused("no_portraits", f"{folder} holds no portrait in which a face is found.",
                               "Give a folder of photos with one face each, larger than 64 px.")

    def mark(self) -> str:
        """Checksum of the portraits used."""
        told = hashlib.sha256()
        for name in sorted(self.faces):
            told.update(name.encode() + (self.folder / name).read_bytes())
        return told.hexdigest()

    def __call__(self, number: int) -> Pair:
        """The pair."""
        rng = np.random.default_rng([self.seed, 23, number])
        name = sorted(self.faces)[number % len(self.faces)]
        procedure = str(rng.choice(sorted(GROUPS)))
        picture, points = upright(self.folder / name), self.faces[name]
        mask = region_mask(points[list(GROUPS[procedure])], (picture.shape[0], picture.shape[1]), rng)
        crop = crop_around(mask, self.size_px, float(np.ptp(points, axis=0).max()))
        scale = self.size_px / crop.side
        inside = (points - [crop.x0, crop.y0] + 0.5) * scale - 0.5
        marks = Landmarks2D(scheme=MEDIAPIPE478, points=inside, confidence=np.ones(len(inside)))
        small = crop.cut(picture)
        return Pair(before=small, after=small, control=control_picture(marks, (self.size_px, self.size_px)),
                    mask=crop.cut_mask(mask), landmarks_px=inside.astype(np.float32), prompt=prompt_for([procedure]),
                    facts={"kind": "portrait", "file": name, "procedures": [procedure]})


def upright(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """A photo as it is meant to be seen. OSError or ValueError: it cannot be read."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def face_points(path: Path, detector: Detector) -> Float[np.ndarray, "478 2"] | None:
    """The landmarks of a portrait's only face, or None."""
    try:
        picture = upright(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    boxes = detector.boxes(picture)
    face = detector.follow(picture, None, boxes) if len(boxes) == 1 else None
    if face is None or np.ptp(face.points_px[:, :2], axis=0).min() < SMALLEST_FACE_PX:
        return None
    return np.asarray(face.points_px[:, :2], float)


def region_mask(points_px: Float[np.ndarray, "n 2"], size_hw: tuple[int, int], rng: np.random.Generator) -> Float[
        np.ndarray, "h w"]:
    """A feathered region around some landmarks, a little larger or smaller each time."""
    grown = points_px.mean(0) + (points_px - points_px.mean(0)) * rng.uniform(1.0, 1.5)
    core = np.zeros(size_hw, np.uint8)
    cv2.fillConvexPoly(core, cv2.convexHull(np.rint(grown).astype(np.int32)), 255)
    feather = max(0.06 * float(np.ptp(points_px, axis=0).max()), 1.5)
    reach = int(np.ceil(2 * feather))
    core = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return np.clip(cv2.GaussianBlur(core, (0, 0), feather).astype(np.float32) / 255, 0, 1)
