"""Restorers that the user holds: CodeFormer, GFPGAN (faces) and Real-ESRGAN (whole pictures), as `.onnx` or `.pth`.

None comes with Previsage. `.onnx` runs in ONNX Runtime (`pip install 'previsage[restore]'`); `.pth` needs spandrel,
which needs a torchvision built for the installed torch. A missing package is an error that says so when a restorer is
loaded; nothing else needs them.

A face restorer sees the face upright at 512 x 512, placed by eyes, nose and mouth as in FFHQ, in -1..1 RGB. What it
*adds* (its output minus its input) goes back into the picture, so grain finer than 512 px is not lost, and a restorer
that changes nothing changes no byte. Restorers make skin up: their share is the caller's choice, and must be told.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from core.errors import InputRefused, PrevisageError, UsageError
from core.records import record

Kind = Literal["codeformer", "gfpgan", "realesrgan"]
KINDS: dict[str, Kind] = {"codeformer": "codeformer", "gfpgan": "gfpgan", "esrgan": "realesrgan"}
"""By a part of the file's name."""
Network = Callable[[Float[np.ndarray, "n 3 a b"]], Float[np.ndarray, "n 3 c d"]]
"""RGB planes in, RGB planes out (float32); range as the kind wants it."""

FACE_PX = 512
FFHQ = np.array([[192.98, 239.95], [318.90, 240.19], [256.63, 314.02], [201.26, 371.41], [313.09, 371.15]])
"""Where a face restorer expects eyes, tip of the nose and mouth corners (picture-left first) at 512 px (facexlib)."""
RIGHT_EYE, LEFT_EYE = (33, 133, 159, 145), (263, 362, 386, 374)
TIP, RIGHT_CORNER, LEFT_CORNER = 4, 61, 291
"""Of MediaPipe's 478; right and left are the patient's."""
TILE_PX, OVERLAP_PX = 384, 16


@record
class RestoreOptions:
    """strength: how much of what the restorer adds is taken. fidelity: CodeFormer's w, 0 (looks) to 1 (likeness),
    of an .onnx file; a .pth one runs at its own. A call on a picture takes the strength alone, the rest is for loading.

    threads: of ONNX Runtime; 0 lets it choose.
    """

    strength: float = 0.5
    fidelity: float = 0.8
    threads: int = 0


RESTORE = RestoreOptions()


@record
class Restorer:
    """A network and what it is. title: for the record of what ran."""

    kind: Kind
    network: Network
    title: str

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"], landmarks_px: Float[np.ndarray, "478 2"] | None = None,
                 options: RestoreOptions = RESTORE) -> UInt8[np.ndarray, "h w 3"]:
        """The restored picture, of the same size. UsageError: a face restorer without landmarks."""
        if self.kind == "realesrgan":
            return restored_whole(picture, self.network, options)
        if landmarks_px is None:
            raise UsageError("landmarks", f"{self.title} restores a face and needs its landmarks.",
                             "Find the face first.")
        return restored_face(picture, landmarks_px, self.network, options)


def load(path: Path, kind: Kind | None = None, options: RestoreOptions = RESTORE) -> Restorer:
    """A restorer from the user's weights. kind: without it the file's name must tell.

    UsageError: no such file, or a kind that the name does not tell. InputRefused: not such a network.
    PrevisageError: a package is missing.
    """
    if not path.is_file():
        raise UsageError("no_file", f"There is no file {path}.", "Give the weights of CodeFormer, GFPGAN or "
                         "Real-ESRGAN as .onnx or .pth.")
    told = kind or next((k for part, k in KINDS.items() if part in path.name.lower()), None)
    if told is None:
        raise UsageError("restorer_kind", f"The name {path.name} does not tell what it is.",
                         f"Say one of: {', '.join(sorted(set(KINDS.values())))}.")
    loaders = {".onnx": onnx_network, ".pth": spandrel_network, ".safetensors": spandrel_network}
    if path.suffix not in loaders:
        raise UsageError("restorer_format", f"{path.suffix or 'No ending'} is no format of a restorer.",
                         "Give .onnx, .pth or .safetensors.")
    return Restorer(kind=told, network=loaders[path.suffix](path, options), title=path.name)


def needed(package: str, how: str) -> Any:
    """A package of an extra. PrevisageError: it is missing, or broken."""
    try:
        return importlib.import_module(package)
    except Exception as error:  # torchvision without its torch dies with a RuntimeError
        raise PrevisageError("missing_package", f"Restoring needs {package}, which cannot be used here "
                             f"({type(error).__name__}: {error}).", how) from error


def onnx_network(path: Path, options: RestoreOptions) -> Network:
    """A network in ONNX Runtime. Its picture input is found by its shape; a second, scalar one gets the fidelity."""
    runtime = needed("onnxruntime", "pip install 'previsage[restore]'")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = options.threads, 3
    try:
        session = runtime.InferenceSession(str(path), settings, providers=runtime.get_available_providers())
    except Exception as error:
        raise InputRefused("not_onnx", f"{path.name} is no ONNX network that this ONNX Runtime reads ({error}).",
                           "Export it anew, or use a newer onnxruntime.") from error
    pictures = [i for i in session.get_inputs() if len(i.shape) == 4]
    others = [i for i in session.get_inputs() if len(i.shape) != 4]
    layout = layout_of(pictures[0].shape) if len(pictures) == 1 else None
    if layout is None or len(others) > 1 or any(len(i.shape) > 1 for i in others):
        raise InputRefused("restorer_inputs", f"{path.name} takes " + ", ".join(
            f"{i.name} {i.shape}" for i in session.get_inputs()) + ": no restorer.",
            "A restorer takes one RGB picture, and perhaps one number.")
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
    numbers = {i.name: np.full([d if isinstance(d, int) else 1 for d in i.shape], options.fidelity,
                               kinds.get(i.type, np.float32)) for i in others}
    dtype = kinds.get(pictures[0].type, np.float32)

    def network(planes: Float[np.ndarray, "n 3 a b"]) -> Float[np.ndarray, "n 3 c d"]:
        given = planes if layout == "planes" else planes.transpose(0, 2, 3, 1)
        found = session.run(None, {pictures[0].name: np.ascontiguousarray(given, dtype), **numbers})
        made = next((f for f in found if f.ndim == 4), np.zeros(0))
        made = made if layout == "planes" or made.ndim != 4 else made.transpose(0, 3, 1, 2)
        return expected(made.astype(np.float32), path.name)

    return network


def layout_of(shape: list[int | str | None]) -> Literal["planes", "pixels"] | None:
    """Whether a network takes (n, 3, h, w) or (n, h, w, 3); None when neither."""
    return "planes" if shape[1] == 3 else "pixels" if shape[3] == 3 else None


def expected(made: np.ndarray, name: str) -> Float[np.ndarray, "n 3 c d"]:
    """The output, when it is a picture. InputRefused: it is not, or is not finite."""
    if made.ndim != 4 or made.shape[1] != 3 or not np.isfinite(made).all():
        raise InputRefused("restorer_output", f"{name} gave an array {made.shape} instead of an RGB picture.",
                           "It is another network, or was exported wrongly.")
    return made


def spandrel_network(path: Path, options: RestoreOptions) -> Network:
    """A network in torch, built by spandrel, which unpickles tensors only. CodeFormer's code, for non-commercial use,
    is in spandrel_extra_arches."""
    hint = ("pip install spandrel, with a torchvision built for the installed torch; without one use the .onnx file of "
            "the same restorer: pip install 'previsage[restore]'.")
    needed("torchvision", hint)
    spandrel, torch = needed("spandrel", hint), needed("torch", hint)
    if KINDS["codeformer"] in path.name.lower():
        needed("spandrel_extra_arches", "pip install spandrel_extra_arches (non-commercial licences), or use the .onnx "
               "file.").install(ignore_duplicates=True)
    try:
        model = spandrel.ModelLoader(device="cpu").load_from_file(str(path)).eval().model
    except Exception as error:
        raise InputRefused("not_restorer", f"spandrel does not know {path.name} ({error}).",
                           "Give the weights as published.") from error

    def network(planes: Float[np.ndarray, "n 3 a b"]) -> Float[np.ndarray, "n 3 c d"]:
        with torch.inference_mode():  # the bare model: spandrel's own call cuts a face's -1..1 at 0
            made = model(torch.from_numpy(np.ascontiguousarray(planes)))
        return expected((made[0] if isinstance(made, tuple) else made).float().numpy(), path.name)

    return network


def placed(landmarks_px: Float[np.ndarray, "478 2"]) -> Float[np.ndarray, "2 3"]:
    """The similarity that takes the picture to the restorer's square (least squares, mirror images excluded)."""
    p = landmarks_px
    source = np.stack([p[list(RIGHT_EYE)].mean(0), p[list(LEFT_EYE)].mean(0), p[TIP], p[RIGHT_CORNER], p[LEFT_CORNER]])
    a, b = (points[:, 0] + 1j * points[:, 1] for points in (source, FFHQ))
    spread = np.vdot(a - a.mean(), a - a.mean()).real
    if not spread > 1:
        raise UsageError("landmarks", "The face's landmarks lie in one point.", "Find the face again.")
    turn = np.vdot(a - a.mean(), b - b.mean()) / spread
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def restored_face(picture: UInt8[np.ndarray, "h w 3"], landmarks_px: Float[np.ndarray, "478 2"], network: Network,
                  options: RestoreOptions = RESTORE) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with what the network adds to the face; nothing beyond the square, whose rim fades."""
    square_from_picture = placed(landmarks_px)
    crop = cut(picture, square_from_picture)
    made = network(crop.transpose(2, 0, 1)[None] * np.float32(2 / 255) - 1)[0].transpose(1, 2, 0)
    made = (np.clip(made, -1, 1) + 1) * np.float32(127.5)
    if made.shape != crop.shape:
        made = cv2.resize(made, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
    added = options.strength * (made - crop) * fading(FACE_PX)[..., None]
    return with_added(picture, added.astype(np.float32), square_from_picture)


def cut(picture: UInt8[np.ndarray, "h w 3"], square_from_picture: Float[np.ndarray, "2 3"]) -> Float[
        np.ndarray, "a a 3"]:
    """The restorer's square, 0..255; a face larger than the square is blurred first, lest it alias."""
    scale = float(np.hypot(square_from_picture[0, 0], square_from_picture[1, 0]))
    source = picture.astype(np.float32)
    if scale < 1:
        source = cv2.GaussianBlur(source, (0, 0), 0.5 * np.sqrt(1 / scale**2 - 1) + 1e-3)
    return cv2.warpAffine(source, square_from_picture, (FACE_PX, FACE_PX), flags=cv2.INTER_CUBIC,
                          borderMode=cv2.BORDER_REFLECT_101)


def fading(side: int) -> Float[np.ndarray, "a a"]:
    """1 in the middle of the square, 0 from its last pixel on, over a tenth of its side."""
    ramp = np.clip(np.minimum(np.arange(side), np.arange(side)[::-1]) / (side / 10), 0, 1)
    return np.minimum.outer(ramp, ramp).astype(np.float32)


def with_added(picture: UInt8[np.ndarray, "h w 3"], added: Float[np.ndarray, "a a 3"],
               square_from_picture: Float[np.ndarray, "2 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture plus what was added in the square."""
    size = (picture.shape[1], picture.shape[0])
    scale = float(np.hypot(square_from_picture[0, 0], square_from_picture[1, 0]))
    if scale > 1:
        added = cv2.GaussianBlur(added, (0, 0), 0.5 * np.sqrt(scale**2 - 1) + 1e-3)
    there = cv2.warpAffine(added, square_from_picture, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                           borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0))
    return np.rint(np.clip(picture + there, 0, 255)).astype(np.uint8)


def restored_whole(picture: UInt8[np.ndarray, "h w 3"], network: Network, options: RestoreOptions = RESTORE) -> UInt8[
        np.ndarray, "h w 3"]:
    """The picture with what a super-resolution network (0..1 RGB) adds, in tiles, brought back to its own size."""
    height, width = picture.shape[:2]
    more = [(OVERLAP_PX, OVERLAP_PX + (-side) % 4) for side in (height, width)]  # Real-ESRGAN x2 folds pixels in pairs
    padded = np.pad(picture, (*more, (0, 0)), mode="symmetric")
    made = np.empty(picture.shape, np.float32)
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            tile = padded[top:top + TILE_PX + 2 * OVERLAP_PX, left:left + TILE_PX + 2 * OVERLAP_PX]
            planes = network(tile.transpose(2, 0, 1)[None].astype(np.float32) / 255)[0].transpose(1, 2, 0)
            same = cv2.resize(planes, (tile.shape[1], tile.shape[0]), interpolation=cv2.INTER_AREA)
            rows, columns = min(TILE_PX, height - top), min(TILE_PX, width - left)
            made[top:top + rows, left:left + columns] = same[OVERLAP_PX:OVERLAP_PX + rows,
                                                             OVERLAP_PX:OVERLAP_PX + columns]
    mixed = picture + options.strength * (np.clip(made, 0, 1) * 255 - picture)
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
