"""MediaPipe's two networks as plain functions of a picture: where faces are, and the 478 points of one cropped face.

The graphs come from the `mediapipe` wheel. The landmark graph is fed crops that we cut, turned and reduced ourselves,
so that a 70 px face and a 2 000 px face look the same to it, and one face can be looked at several times.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from core.errors import PrevisageError
from core.records import freeze, record
from recon import networks

CROP_PX = 192
"""Input of MediaPipe's landmark network."""

PRESENCE = "facelandmarkcpu__face_presence_score"
GRAPH = """
input_stream: "image"
input_stream: "roi"
input_side_packet: "with_attention"
output_stream: "landmarks"
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:roi"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
"""


@record
class Region:
    """A square of a picture: centre (px), side (px) and the angle by which its content is turned clockwise (rad)."""

    center_px: Float[np.ndarray, "2"]
    side_px: float
    roll_rad: float

    def __post_init__(self) -> None:
        freeze(self, center_px=(self.center_px, float))

    def picture_from_crop(self, crop_px: int) -> Float[np.ndarray, "2 3"]:
        """Affine map from the crop's pixel centres to the picture's."""
        s, c, n = self.side_px / crop_px, np.cos(self.roll_rad), np.sin(self.roll_rad)
        turn = s * np.array([[c, -n], [n, c]])
        return np.column_stack([turn, self.center_px - turn @ np.full(2, (crop_px - 1) / 2)])


@record
class FaceBox:
    """A face found in a whole picture. score in [0, 1]; side_px: side of its square box.

    keypoints_px: the patient's right and left eye, tip of the nose, middle of the mouth, right and left ear; in a
    profile both eyes lie on the one that is seen.
    """

    center_px: Float[np.ndarray, "2"]
    side_px: float
    roll_rad: float
    score: float
    keypoints_px: Float[np.ndarray, "6 2"]

    def moved(self, by_px: Float[np.ndarray, "2"]) -> "FaceBox":
        """The same face in a picture of which this one is a part that begins at `by_px`."""
        return FaceBox(center_px=self.center_px + by_px, side_px=self.side_px, roll_rad=self.roll_rad,
                       score=self.score, keypoints_px=self.keypoints_px + by_px)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what C++ libraries print while they load off the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class LandmarkNet:
    """The 478-point network on one crop."""

    def __init__(self) -> None:
        with quiet_stderr():
            self._graph, self._whole, self._read = build_graph()
            self(np.zeros((CROP_PX, CROP_PX, 3), np.uint8))  # what the first run prints is hidden too

    def __call__(self, crop: UInt8[np.ndarray, "n n 3"]) -> tuple[Float[np.ndarray, "478 3"] | None, float]:
        """Points in the crop's pixels (z in the same unit) and the probability that it shows a face."""
        out = networks.answers(self._graph, image=np.ascontiguousarray(crop), roi=self._whole)
        presence = float(networks.content(self._graph, out, PRESENCE))
        if "landmarks" not in out or out["landmarks"].is_empty():
            return None, presence
        points = self._read(out["landmarks"]) * len(crop)
        return points - [0.5, 0.5, 0.0], presence  # MediaPipe counts from the corner, we from the first pixel's centre


def build_graph() -> tuple:
    """The wheel's landmark graph with its presence score let out, the region that means "the whole crop", and what
    reads points (478,3) from a packet."""
    os.environ.setdefault("GLOG_minloglevel", "3")
    try:
        package = networks.mediapipe()
        from google.protobuf import text_format
        from mediapipe.framework import calculator_pb2
        from mediapipe.framework.formats import rect_pb2
        from mediapipe.python import _framework_bindings as bindings
        from mediapipe.python import packet_creator
        from mediapipe.python.solution_base import PacketDataType, SolutionBase
    except ImportError as error:
        raise PrevisageError("no_mediapipe", "The landmark detector is not installed.",
                             "Run: pip install mediapipe==0.10.21") from error
    bindings.resource_util.set_resource_dir(str(Path(str(package.__file__)).parents[1]))
    valid = bindings.validated_graph_config.ValidatedGraphConfig()
    valid.initialize(graph_config=text_format.Parse(GRAPH, calculator_pb2.CalculatorGraphConfig()))
    config = calculator_pb2.CalculatorGraphConfig.FromString(valid.binary_config)
    config.output_stream.append(PRESENCE)
    graph = SolutionBase(
        graph_config=config, side_inputs={"with_attention": True}, outputs=["landmarks", PRESENCE],
        stream_type_hints={"image": PacketDataType.IMAGE, "roi": PacketDataType.PROTO,
                           "landmarks": PacketDataType.PROTO, PRESENCE: PacketDataType.FLOAT})
    whole = rect_pb2.NormalizedRect(x_center=0.5, y_center=0.5, width=1.0, height=1.0, rotation=0.0)
    return graph, packet_creator.create_proto(whole), lambda packet: points_in(
        bindings._packet_getter._get_serialized_proto(packet))


def points_in(message: bytes) -> Float[np.ndarray, "n 3"]:
    """The points of a serialised `NormalizedLandmarkList`: one after the other, of each a key and its length, then x, y
    and z, each behind a key of its own. ValueError: it holds something else.
    """
    rows = np.frombuffer(message, np.uint8)
    if len(rows) % 17 or not (rows.reshape(-1, 17)[:, [0, 1, 2, 7, 12]] == (0x0A, 15, 0x0D, 0x15, 0x1D)).all():
        raise ValueError("the landmarks come in another form than those of the MediaPipe that is required")
    return np.stack([np.ascontiguousarray(rows.reshape(-1, 17)[:, k:k + 4]).view("<f4")[:, 0] for k in (3, 8, 13)],
                    1).astype(float)


class FaceFinder:
    """Faces in a whole picture: MediaPipe's short-range network (large faces) and its full-range one (small ones)."""

    def __init__(self, least_score: float = 0.5) -> None:
        with quiet_stderr():
            os.environ.setdefault("GLOG_minloglevel", "3")
            networks.mediapipe()
            from mediapipe.python.solutions.face_detection import FaceDetection

            self._networks = [FaceDetection(model_selection=k, min_detection_confidence=least_score) for k in (0, 1)]
            self._pool = ThreadPoolExecutor(len(self._networks))
            self(np.zeros((CROP_PX, CROP_PX, 3), np.uint8))

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"], early: Callable[[FaceBox], object] | None = None) -> list[
            FaceBox]:
        """Boxes, the largest first; one per face. early: told of a face while the slower network still looks."""
        found: list[FaceBox] = []
        picture = np.ascontiguousarray(picture)
        for network, answer in zip(self._networks, self._pool.map(lambda network: networks.answers(
                network, image=picture), self._networks), strict=True):
            for detection in networks.content(network, answer, "detections") or []:
                box = face_box(detection, picture.shape[1], picture.shape[0])
                if not any(same_face(box, other) for other in found):
                    found.append(box)
                    if early is not None:
                        early(box)
        return sorted(found, key=lambda b: -b.side_px)


def face_box(detection: object, width: int, height: int) -> FaceBox:
    """A detection in pixels; the roll comes from its two eyes."""
    where = detection.location_data  # type: ignore[attr-defined]
    b = where.relative_bounding_box
    points = np.array([(p.x * width, p.y * height) for p in where.relative_keypoints])
    across = points[1] - points[0]
    return FaceBox(center_px=np.array([(b.xmin + b.width / 2) * width, (b.ymin + b.height / 2) * height]),
                   side_px=float(max(b.width * width, b.height * height)),
                   roll_rad=float(np.arctan2(across[1], across[0])), keypoints_px=points,
                   score=float(detection.score[0]))  # type: ignore[attr-defined]


def same_face(a: FaceBox, b: FaceBox) -> bool:
    """Two boxes show one face when the centre of the smaller lies well inside the larger."""
    return bool(np.linalg.norm(a.center_px - b.center_px) < 0.5 * max(a.side_px, b.side_px))


@record
class Patch:
    """A part of a picture, averaged down by a whole factor so that a face crop needs no further filtering.

    offset_px: the picture's pixel at the patch's upper left corner.
    """

    picture: UInt8[np.ndarray, "h w 3"]
    offset_px: Float[np.ndarray, "2"]
    factor: int

    def region(self, r: Region) -> Region:
        """A region of the picture in the patch's pixels."""
        center = (r.center_px - self.offset_px + 0.5) / self.factor - 0.5
        return Region(center_px=center, side_px=r.side_px / self.factor, roll_rad=r.roll_rad)

    def to_picture(self, xy_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Points of the patch in the picture's pixels."""
        return (xy_px + 0.5) * self.factor - 0.5 + self.offset_px


def patch_around(picture: UInt8[np.ndarray, "h w 3"], region: Region, margin: float = 1.9) -> Patch:
    """The patch that holds a region and the moves of the looks (a square of `margin` times its side)."""
    height, width = picture.shape[:2]
    half = 0.5 * margin * region.side_px
    x0, y0 = np.clip(np.floor(region.center_px - half), 0, [width - 2, height - 2]).astype(int)
    x1, y1 = np.clip(np.ceil(region.center_px + half), [x0 + 2, y0 + 2], [width, height]).astype(int)
    part = picture[y0:y1, x0:x1]
    factor = int(np.clip(region.side_px / CROP_PX, 1, max(1, min(part.shape[:2]) // 2)))
    if factor > 1:
        h, w = (n // factor * factor for n in part.shape[:2])
        part = cv2.resize(part[:h, :w], (w // factor, h // factor), interpolation=cv2.INTER_AREA)
    return Patch(picture=np.ascontiguousarray(part), offset_px=np.array([x0, y0], float), factor=factor)


def cut(patch: Patch, region: Region) -> UInt8[np.ndarray, "n n 3"]:
    """A region of the patch (in the patch's pixels) as the network's crop; outside, the border is repeated."""
    return cv2.warpAffine(patch.picture, region.picture_from_crop(CROP_PX), (CROP_PX, CROP_PX),
                          flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
