"""Study: one person in one photo, got ready once for any number of plans.

The picture is worked on around the head only (`window`), in the file's own pixels and colours.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.correspondence import Correspondence
from core.errors import InputRefused
from core.face_model import FaceModel
from core.mesh import Mesh
from core.plan import Plan
from core.prediction import Prediction
from core.reconstruction import Reconstruction, View
from deform3d import catalogue
from deform3d import predict as displace
from previsage.rasterizer import rasterizer
from previsage.studio import Studio
from recon.bundle import BundleOptions
from recon.detect import Detector, Face
from recon.ears import SeenEar, with_ears
from recon.foreground import Foreground
from recon.landmark_net import FaceBox
from recon.light import Light
from recon.lobe import EDGE_LM, ears_beside
from recon.models import load_model
from recon.nose_outline import with_nose_outline
from recon.one_photo import QUICK, WHOLE, Doubt, PhotoHead, fit_photos, light_in, looks, with_skin
from recon.profile import beyond, fit_profile
from recon.quality import dark_lines
from render.flow import windowed
from synth.photo_file import PhotoFile
from synth.spectacles import frames, surrounding
from synth.thin_spectacles import rims

AROUND, HAIR = 1.15, 0.35
"""The window reaches so many face heights to every side of the face's middle, which lies below the head's by so many:
hair, ears and neck are in it."""
RIMS, SIDEWAYS_DEG = 0.25, 40.0
"""Spectacles are worn from this darkness of rims on (`recon.quality.dark_lines`: at most 0.13 on bare faces); from
further aside they are not looked for."""
FARTHEST_DEG = 56.5
"""The landmarks say 55 at 60 degrees and 57 at 70: where they say more than this, they do not tell the turn at all."""
BESIDE = ThreadPoolExecutor(1)
"""The person and spectacles are found on another core while the head is fitted, and the skin is gathered while the plan
is worked out and the photo is bent."""
AHEAD = ThreadPoolExecutor(1)
"""A plan that is expected is worked out on another core while the head is drawn to the photo."""
LEAST_PX_PER_MM, FINEST = 1.0, 4
"""A face with fewer pixels is drawn so many times finer than the photo, and reduced: a pixel of 2 mm holds both the
wing of a nose and the cheek that stays, and the wing lost half its motion (a face of 72 px, rhinoplasty)."""
PAST_EAR_MM = 0.5
"""A plan that moves the cheek's edge by more slides it past the ears."""
SKIN_PX = 1280
"""The skin is gathered from the window reduced to this longer side; only what was hidden is drawn from it."""

SHARED = ("srgb", "part", "looked_for", "rims_found", "spectacles", "doubts")
"""What a study with ears takes over: it says nothing of the head."""


class Tools(NamedTuple):
    """What every study shares."""

    model: FaceModel
    detector: Detector
    foreground: Foreground


@functools.cache
def tools() -> Tools:
    """Loaded once in the life of a program."""
    return Tools(model=load_model(), detector=Detector(), foreground=Foreground())


class Study:
    """A photo and one of its faces. heads: the fitted heads, given when several photos of a person share one."""

    def __init__(self, photo: PhotoFile, face: Face, ipd_mm: float | None = None, focal_px: float | None = None,
                 head: PhotoHead | None = None) -> None:
        self.photo, self.face, self.ipd_mm, self.focal_px = photo, face, ipd_mm, focal_px
        self.doubts: list[str] = []
        self.ears: dict[str, SeenEar] = {}
        self.expected: str | None = None
        self.window = window_around(face, photo.picture.shape)
        if head is not None:
            self.wear(head)

    def expect(self, plan: Plan) -> None:
        """Be ready for a plan as soon as the face at rest is known."""
        self.expected = plan.model_dump_json()

    def at_rest(self, face: Mesh, anatomy: Anatomy) -> None:
        """The face at rest is known."""
        if self.expected is not None:
            predicted(face, anatomy, self.expected)

    def wear(self, head: PhotoHead) -> None:
        """Take a head that was fitted together with other photos of the person."""
        self.__dict__["head"] = self.__dict__["quick"] = head

    @functools.cached_property
    def srgb(self) -> UInt8[np.ndarray, "h w 3"]:
        """The photo for eyes that know sRGB only."""
        return self.photo.srgb()

    @functools.cached_property
    def quick(self) -> PhotoHead:
        """Pose, size and proportions."""
        return self.__dict__["head"] if "head" in self.__dict__ else self.fitted(QUICK)

    @functools.cached_property
    def head(self) -> PhotoHead:
        """The whole fit; meanwhile the picture itself is looked at."""
        _ = self.looked_for, self.rims_found
        return self.fitted(WHOLE)

    @functools.cached_property
    def eared(self) -> "Study":
        """The same photo with a head whose ears lie where it shows them; `ears` says what was seen of each."""
        head, person = self.head, self.person
        other = Study(self.photo, self.face, self.ipd_mm, self.focal_px)
        other.__dict__.update({k: v for k, v in self.__dict__.items() if k in SHARED})
        drawn, other.ears = with_ears(head, self.camera, np.ascontiguousarray(self.srgb[self.window]), person,
                                      rasterizer())
        other.wear(drawn)
        return other

    @functools.cached_property
    def by_landmarks(self) -> PhotoHead:
        """The whole fit, to the landmarks alone."""
        return self.to_landmarks(WHOLE)

    @property
    def from_side(self) -> bool:
        """Whether the head is turned farther than the landmarks can tell."""
        return beyond(self.head if "head" in self.__dict__ else self.by_landmarks)

    def to_landmarks(self, options: BundleOptions) -> PhotoHead:
        """The head by the landmarks."""
        return fit_photos(tools().model, [self.srgb], [self.face], [self.focal_px], rasterizer(), self.ipd_mm,
                          options, self.at_rest)[0]

    def fitted(self, options: BundleOptions) -> PhotoHead:
        """The head by the landmarks; by the outline, too, where it is turned farther than they can tell.

        InputRefused `profile_lost`: it is turned so far that only its outline could tell, and that does not.
        """
        head = self.by_landmarks if options is WHOLE else self.to_landmarks(options)
        if not beyond(head):
            return head
        try:
            self.wear(side_on(self.srgb, self.face, None, self.focal_px, self.ipd_mm))
        except InputRefused as error:
            if abs(head.angles_deg[0]) > FARTHEST_DEG:
                raise
            self.doubts.append(f"{error.message} The turn of {abs(head.angles_deg[0]):.0f}° is the landmarks' word, "
                               "which is too little beyond 50°.")
            return head
        return self.quick

    @functools.cached_property
    def part(self) -> UInt8[np.ndarray, "h w 3"]:
        """The window of the photo, in its own colours."""
        return np.ascontiguousarray(self.photo.picture[self.window])

    @property
    def camera(self) -> Camera:
        """The camera of the window."""
        return windowed(self.head.camera, *self.window)

    @property
    def finer(self) -> int:
        """How many times finer than the photo its face is drawn."""
        return int(np.clip(np.ceil(LEAST_PX_PER_MM / self.head.px_per_mm), 1, FINEST))

    @functools.cached_property
    def drawn(self) -> PhotoHead:
        """The head with its nose drawn to the picture: what the picture is bent by."""
        head, picture = self.head, np.ascontiguousarray(self.srgb[self.window])
        mesh = with_nose_outline(head.mesh, head.anatomy, self.camera, picture, self.person, rasterizer())
        return head if mesh is head.mesh else dataclasses.replace(head, mesh=mesh)

    @functools.cached_property
    def looked_for(self) -> "Future[Bool[np.ndarray, 'h w']]":
        """Who is seen in the window; found beside."""
        return BESIDE.submit(tools().foreground, np.ascontiguousarray(self.srgb[self.window]))

    @property
    def person(self) -> Bool[np.ndarray, "h w"]:
        """Who is seen in the window."""
        return self.looked_for.result()

    @functools.cached_property
    def rims_found(self) -> "Future[Bool[np.ndarray, 'h w']]":
        """Spectacles in the window, as long as the face is not turned aside; found beside."""
        corner = [self.window[1].start, self.window[0].start]
        return BESIDE.submit(worn_on, np.ascontiguousarray(self.srgb[self.window]), self.face.points_px[:, :2] - corner)

    @functools.cached_property
    def spectacles(self) -> Bool[np.ndarray, "h w"]:
        """The spectacles that are worn, in the whole photo: a dark frame, or thin rims."""
        worn = np.zeros(self.photo.picture.shape[:2], bool)
        if abs(self.quick.angles_deg[0]) <= SIDEWAYS_DEG:
            worn[self.window] = self.rims_found.result()
        return worn

    @functools.cached_property
    def light(self) -> "Future[Light]":
        """The photo's light; worked out beside."""
        return BESIDE.submit(self.looked_at, light_in, self.drawn, self.person)

    @functools.cached_property
    def doubt(self) -> "Future[Doubt]":
        """How sure the head is; worked out beside, after the light."""
        _ = self.light
        return BESIDE.submit(lambda: self.head.doubted)

    def looked_at(self, look: Callable[..., Any], head: PhotoHead, person: Bool[np.ndarray, "h w"]) -> Any:
        """What is seen in the window, reduced."""
        height, width = self.part.shape[:2]
        shrink = min(1.0, SKIN_PX / max(height, width))
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        small = self.part if shrink == 1 else cv2.resize(self.part, size, interpolation=cv2.INTER_AREA)
        there = cv2.resize(person.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        return look(head, small, self.camera.resized(size), there, rasterizer())

    @functools.cached_property
    def ears_beside(self) -> "Future[list[Float[np.ndarray, '_ 2']]]":
        """Rings around the ears that the window shows, px; found beside."""
        head, camera, person, picture = self.head, self.camera, self.person, self.srgb[self.window]
        corner = [self.window[1].start, self.window[0].start]
        return BESIDE.submit(lambda: ears_beside(head, camera, head.face.points_px[:, :2] - corner,
                                                 np.ascontiguousarray(picture), person))

    @functools.cached_property
    def reconstruction(self) -> "Future[Reconstruction]":
        """The head with the photo's skin; worked out beside."""
        head, person = self.drawn, self.person
        return BESIDE.submit(lambda: with_skin(head, self.looked_at(looks, head, person), self.photo.name))

    def prediction(self, plan: Plan) -> Prediction:
        """The plan on this person's face at rest; the same displacement is then worn with the expression."""
        return predicted(self.head.neutral, self.head.anatomy, plan.model_dump_json()).result()

    def studio(self, displacement_mm: Float[np.ndarray, "v 3"], procedures: Sequence[str], srgb: bool) -> "PhotoStudio":
        """What draws a plan on the window."""
        return PhotoStudio(self, self.own_or_srgb(srgb), srgb, displacement_mm, procedures)

    def own_or_srgb(self, srgb: bool) -> UInt8[np.ndarray, "h w 3"]:
        """The window in its own colours or for eyes that know sRGB only."""
        return np.ascontiguousarray(self.srgb[self.window]) if srgb else self.part


def worn_on(part: UInt8[np.ndarray, "h w 3"], points_px: Float[np.ndarray, "478 2"]) -> Bool[np.ndarray, "h w"]:
    """A dark frame, or thin rims, about some landmarks."""
    if dark_lines(part, points_px) >= RIMS:
        found = frames(part, points_px)
        if surrounding(found, points_px):
            return found
    return rims(part, points_px)


def side_on(srgb: UInt8[np.ndarray, "h w 3"], face: Face | None, box: FaceBox | None, focal_px: float | None,
            ipd_mm: float | None) -> PhotoHead:
    """The head in a photo from the side. InputRefused `profile_lost`: its outline explains no head."""
    shared = tools()
    return fit_profile(shared.model, srgb, face, box, focal_px, shared.detector, shared.foreground, rasterizer(),
                       ipd_mm)


class PhotoStudio(Studio):
    """A studio whose only frame is the photo's window, as fine as its face is drawn."""

    def __init__(self, study: Study, picture: UInt8[np.ndarray, "h w 3"], srgb: bool,
                 displacement_mm: Float[np.ndarray, "v 3"], procedures: Sequence[str]) -> None:
        self.case, self.study, self.picture, self.srgb = Path(), study, finely(picture, study.finer), srgb
        self.lay(study.drawn.mesh, displacement_mm, procedures)
        height, width = self.picture.shape[:2]
        self.view = View(camera=study.camera.resized((width, height)), path=study.photo.name, source=study.photo.name,
                         reprojection_px=study.head.reprojection_px * study.finer)
        moves_mm = np.linalg.norm(study.head.anatomy.pins478.on(displacement_mm, study.head.mesh.faces), axis=1)
        self.past_ears = bool(moves_mm[[k for edge in EDGE_LM.values() for k in edge]].max() > PAST_EAR_MM)
        if self.past_ears:
            _ = study.ears_beside  # begun, not waited for
        self.__dict__["segment"] = lambda frame: finely(study.person, study.finer)

    def sd_mm(self, rows: Int[np.ndarray, "r"]) -> Float[np.ndarray, "r"]:
        """As soon as it is worked out."""
        return self.study.doubt.result().sd_mm(rows)

    @functools.cached_property
    def head(self) -> Reconstruction:  # type: ignore[override]
        """As soon as its skin is drawn."""
        return self.study.reconstruction.result()

    @functools.cached_property
    def light(self) -> Light | None:
        """As soon as it is found, which is before the skin is drawn."""
        found = self.study.light.result()
        return dataclasses.replace(found, exposure=np.zeros((1, 3)))

    def frame(self, view: View) -> UInt8[np.ndarray, "h w 3"]:
        """The window."""
        return self.picture

    def worn_in(self, view: View, frame: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
        """The spectacles' frame, about the landmarks that the network sees."""
        return finely(self.study.spectacles[self.study.window], self.study.finer)

    @property
    def alone(self) -> bool:
        """The head's skin is this photo's, and shows nothing that it hides."""
        return True

    def landmarks(self, camera: Camera, flow: Correspondence, frame: UInt8[np.ndarray, "h w 3"]) -> tuple[
            Float[np.ndarray, "478 2"], tuple[int, int], Bool[np.ndarray, "478"]]:
        """Those that the network sees."""
        return self.detected_px, (frame.shape[0], frame.shape[1]), self.study.head.visible > 0

    @property
    def detected_px(self) -> Float[np.ndarray, "478 2"]:
        """Those, as fine as the face is drawn."""
        study = self.study
        corner = np.array([study.window[1].start, study.window[0].start]) - 0.5
        return np.asarray((study.head.face.points_px[:, :2] - corner) * study.finer - 0.5)

    @property
    def ears_px(self) -> Sequence[Float[np.ndarray, "_ 2"]]:
        """Those that the photo shows beside a cheek that the plan moves, as fine as the face is drawn."""
        if not self.past_ears:
            return ()
        return [(ring + 0.5) * self.study.finer - 0.5 for ring in self.study.ears_beside.result()]

    def own(self, picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "a b 3"]:
        """A picture of this studio in the photo's own pixels and colours."""
        picture = coarsely(picture, self.study.finer)
        return self.study.photo.from_srgb(picture) if self.srgb else picture


def finely(picture: Shaped[np.ndarray, "h w *c"], times: int) -> Shaped[np.ndarray, "a b *c"]:
    """A picture, or a mask, with so many times as many pixels to a side."""
    if times == 1:
        return picture
    size = (picture.shape[1] * times, picture.shape[0] * times)
    if picture.dtype == bool:
        return cv2.resize(picture.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)


def coarsely(picture: Shaped[np.ndarray, "h w *c"], times: int) -> Shaped[np.ndarray, "a b *c"]:
    """Back: each pixel the mean of its finer ones, of a mask whether any is set."""
    if times == 1:
        return picture
    size = (picture.shape[1] // times, picture.shape[0] // times)
    if picture.dtype == bool:
        return cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


@lru_cache(maxsize=64)
def predicted(face: Mesh, anatomy: Anatomy, plan_json: str) -> "Future[Prediction]":
    """A plan on a face at rest; kept, because a sweep, all bands and all views ask for it again."""
    return AHEAD.submit(displace, face, anatomy, Plan.model_validate_json(plan_json), catalogue(), swelling=False)


def window_around(face: Face, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the photo in which the head lies."""
    height, width = shape[:2]
    up = face.points_px[10, :2] - face.points_px[152, :2]
    middle = face.points_px[:468, :2].mean(0) + HAIR / 2 * up
    reach = AROUND * max(float(np.linalg.norm(up)), face.height_px)
    left, top = np.clip(np.floor(middle - reach), 0, [width - 2, height - 2]).astype(int)
    right, bottom = np.clip(np.ceil(middle + reach), [left + 2, top + 2], [width, height]).astype(int)
    return slice(int(top), int(bottom)), slice(int(left), int(right))
