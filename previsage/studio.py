"""Studio: what the photoreal pictures of one plan are made from, got ready once, and warp3d's picture of each frame."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from core.camera import Camera
from core.correspondence import Correspondence
from core.files import read_json
from core.mesh import Mesh
from core.progress import Progress, silent
from core.reconstruction import Reconstruction, View
from core.records import record
from core.store import load_picture
from recon.foreground import Foreground
from recon.light import Light
from render.flow import Seen, correspondence, skins
from render.mipmap import Mipmap
from render.rasterize import Rasterizer
from synth.backdrop import Plate, serves, still_plate
from synth.far_eye import REACH_MM
from synth.relight import Shade, light_ratio
from synth.rigid_parts import far_eyes, rigid_parts
from synth.spectacles import OUTER, frames, without
from synth.warp3d import warped

Picture = UInt8[np.ndarray, "h w 3"]
PLATE_FRAMES = 40
"""Frames that the backdrop is gathered from, spread over the turn."""
PERSON_MM = 1.5
"""So far around the fitted head a pixel may still show the person."""
LEAST_MM = 0.25
"""Skin that moves more is what a plan is about."""
HIDDEN_MM = 5.0
"""A landmark so much deeper than the skin that the frame shows there is hidden."""
SHRINK = 4
"""The head's place in a frame is looked up at this fraction of its size."""


@record
class Made:
    """One frame and its picture after the operation, both without the spectacles that are worn in it.

    seen: what the plan asks of it, laid on what it shows; None where nothing changes in it. photographed: the frame
    with the spectacles, worn: their pixels. light: what its skin's new angles multiply its colour by in the window
    seen; None: by nothing. drawn_px: from where each pixel of that window was drawn, relative to it; None where other
    frames helped.
    """

    name: str
    view: View
    frame: Picture
    picture: Picture
    seen: Seen | None
    photographed: Picture
    worn: Bool[np.ndarray, "h w"]
    light: Float[np.ndarray, "a b 3"] | None = None
    drawn_px: Float[np.ndarray, "a b 2"] | None = None

    def dressed(self, picture: Picture) -> Picture:
        """A picture of this frame with the spectacles as they were photographed."""
        return np.where(self.worn[..., None], self.photographed, picture) if self.worn.any() else picture


class Studio:
    """A head, a displacement (V,3) in mm, and the frames of a case."""

    def __init__(self, case: Path, head: Reconstruction, displacement_mm: Float[np.ndarray, "v 3"],
                 procedures: Sequence[str] = ()) -> None:
        self.case, self.head = case, head
        self.lay(head.mesh, displacement_mm, procedures)

    def lay(self, mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"], procedures: Sequence[str]) -> None:
        """The head before and after."""
        self.displacement_mm, self.procedures = displacement_mm, tuple(procedures)
        self.before = Rasterizer(mesh)
        self.after = Rasterizer(mesh.moved(displacement_mm)) if np.any(displacement_mm) else self.before
        self.plate: Plate | None = None

    def sd_mm(self, rows: Int[np.ndarray, "r"]) -> Float[np.ndarray, "r"]:
        """How far the head's skin may lie from the person's at some vertices."""
        return self.head.uncertainty_mm[rows]

    @functools.cached_property
    def misfit_mm(self) -> float:
        """The same where the skin moves, in the middle."""
        moving = np.flatnonzero(np.linalg.norm(self.displacement_mm, axis=1) > LEAST_MM)
        return float(np.median(self.sd_mm(moving))) if len(moving) else 1.0

    @functools.cached_property
    def skin(self) -> Mipmap:
        """The head's texture."""
        return Mipmap(self.head.texture)

    @functools.cached_property
    def light(self) -> Light | None:
        """What lit the person."""
        return light_of(self.head)

    def frame(self, view: View) -> Picture:
        """The frame as it was captured."""
        return load_picture(self.case / view.path)[..., :3]

    @functools.cached_property
    def bespectacled(self) -> bool:
        """Whether the capture's verdict saw spectacles."""
        return any(c["name"] == "glasses" and c["value"] == "worn"
                   for c in read_json(self.case / "capture" / "quality.json")["checks"])

    def worn_in(self, view: View, frame: Picture) -> Bool[np.ndarray, "h w"]:
        """The pixels of the spectacles' frame: about the fitted head's eyes, as large as its size here has them."""
        if not self.bespectacled:
            return np.zeros(frame.shape[:2], bool)
        points = self.head.mesh.points(self.head.anatomy.pins478)
        corners = points[list(OUTER)]
        far = view.camera.cam_from_points(corners)[:, 2].mean()
        span = np.linalg.norm(corners[0] - corners[1]) * view.camera.K_px[0, 0] / max(far, 1.0)
        return frames(frame, view.camera.px_from_points(points), float(span))

    def gather_plate(self, progress: Progress = silent) -> None:
        """The backdrop, of a video whose frames have one size; photos have none."""
        size = {v.camera.size_wh for v in self.head.views}
        if read_json(self.case / "capture" / "capture.json").get("kind") != "video" or len(size) != 1:
            return
        chosen = spread(self.head.views, PLATE_FRAMES)
        frames, people = [], []
        for number, view in enumerate(chosen):
            progress(number / len(chosen), "what lies behind the head")
            frames.append(self.frame(view))
            people.append(self.around(view.camera, self.segment(frames[-1])))
        self.plate = still_plate(frames, people)

    def around(self, camera: Camera, person: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
        """Where the head or the person as found in the picture may be, generously."""
        width, height = camera.size_wh
        small = camera.resized((max(width // SHRINK, 1), max(height // SHRINK, 1)))
        found = cv2.resize(person.astype(np.uint8), small.size_wh, interpolation=cv2.INTER_NEAREST)
        reach = int(np.ceil(PERSON_MM * small.K_px[0, 0] / max(camera.cam_from_head[2, 3], 1.0)))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        grown = cv2.dilate(self.before(small).covered.astype(np.uint8) | found, disc)
        return cv2.resize(grown, (width, height), interpolation=cv2.INTER_NEAREST) > 0

    @functools.cached_property
    def segment(self) -> Foreground:
        """Finds the person in a picture; loaded when the first frame needs it."""
        return Foreground()

    @property
    def alone(self) -> bool:
        """Whether a frame is all that shows the person; else others show what it hides."""
        return False

    @property
    def detected_px(self) -> Float[np.ndarray, "478 2"] | None:
        """The landmarks that the network sees in the frame, where one is all that there is."""
        return None

    @property
    def ears_px(self) -> Sequence[Float[np.ndarray, "_ 2"]]:
        """Rings around the ears in the frame that a cheek slides past, where one frame is all that there is."""
        return ()

    def still(self, frame: Picture, camera: Camera, seen: Seen) -> Bool[np.ndarray, "h w"]:
        """Eyes and teeth in a frame, as the fitted head has them."""
        return rigid_parts(*self.landmarks(camera, seen.correspondence, frame))

    def far_eyes(self, frame: Picture, camera: Camera, seen: Seen) -> Bool[np.ndarray, "h w"]:
        """Where a frame may show an eye beyond the bridge of the nose that hides it."""
        flow = seen.correspondence
        return far_eyes(*self.landmarks(camera, flow, frame), REACH_MM * flow.px_per_mm)

    def landmarks(self, camera: Camera, flow: Correspondence, frame: Picture) -> tuple[
            Float[np.ndarray, "478 2"], tuple[int, int], Bool[np.ndarray, "478"]]:
        """The fitted head's landmarks (px) in a frame, the frame's size (h, w), and which of them it shows."""
        points = self.head.mesh.points(self.head.anatomy.pins478)
        px = camera.px_from_points(points)
        height, width = flow.mask.shape
        x, y = np.clip(np.rint(px - (flow.left, flow.top)), 0, (width - 1, height - 1)).astype(int).T
        in_front = camera.cam_from_points(points)[:, 2] < flow.depth_before_mm[y, x] + HIDDEN_MM
        return px, (frame.shape[0], frame.shape[1]), in_front

    def shade(self, camera: Camera) -> Shade | None:
        """The fitted light as this camera's frame shows it; None in a case without one."""
        if self.light is None:
            return None
        return functools.partial(self.light.factor, rotation=camera.cam_from_head[:3, :3], view=0)

    def made(self, view: View) -> Made:
        """warp3d's picture of a frame."""
        photographed = self.frame(view)
        seen = None if self.after is self.before else correspondence(self.before, self.after, view.camera)
        whole = functools.partial(Made, name=Path(view.path).stem, view=view, photographed=photographed)
        if seen is None:
            still = np.zeros(photographed.shape[:2], bool)
            return whole(frame=photographed, picture=photographed.copy(), worn=still, seen=None)
        worn = self.worn_in(view, photographed)
        frame = without(photographed, worn)
        person, plate = self.segment(frame), self.plate
        if plate is not None and not serves(plate, frame, self.around(view.camera, person)):
            plate = None
        def draw() -> tuple[np.ndarray, np.ndarray]:
            return skins(seen, self.before, self.after, self.skin)

        shade = self.shade(view.camera)
        flow, alone = seen.correspondence, self.alone
        light = None if shade is None else light_ratio(flow, shade, frame[flow.window] if alone else None)
        drawn = warped(frame, flow, light, plate, None if alone else draw, person,
                       self.misfit_mm, self.still(frame, view.camera, seen), self.far_eyes(frame, view.camera, seen),
                       face_px=self.detected_px, ears_px=self.ears_px)
        assert drawn.flow is not None
        return whole(frame=frame, picture=drawn.picture, worn=worn, light=drawn.light,
                     seen=dataclasses.replace(seen, correspondence=drawn.flow),
                     drawn_px=drawn.drawn_px if self.alone else None)


def light_of(head: Reconstruction) -> Light | None:
    """The light that the reconstruction fitted; exposure is left out, for it does not change with the normal."""
    told = head.report.get("light")
    if told is None:
        return None
    return Light(frame=told["frame"], coefficients=np.array(told["coefficients"]), exposure=np.zeros((1, 3)), left=0.0,
                 without=0.0)


def spread(views: tuple[View, ...], count: int) -> list[View]:
    """Views evenly from one side of the turn to the other, at most `count`; the frame nearest to frontal is one of
    them.

    Even in yaw, not in number: a film lingers at the front.
    """
    yaw = np.array([v.camera.head_angles_rad[0] for v in views])
    order = np.argsort(yaw, kind="stable")
    if count >= len(views):
        return [views[k] for k in order]
    wanted = np.linspace(yaw.min(), yaw.max(), count) if count > 1 else np.zeros(1)
    chosen: list[int] = []
    for number in np.argsort(np.abs(wanted), kind="stable"):  # the frontal place chooses first
        target = 0.0 if not chosen else wanted[number]
        left = [k for k in order if k not in chosen]
        chosen.append(min(left, key=lambda k: (abs(yaw[k] - target), k)))
    return [views[k] for k in sorted(chosen, key=lambda k: yaw[k])]
