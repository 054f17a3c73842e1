"""Networks of metrics, which the user holds: ONNX (`.onnx`) or TorchScript (`.pt`, `.ts`, `.torchscript`).

No network comes with Previsage and none stands in for another: a metric whose network is missing is not computed, and
that is said. Neither format runs Python of its own.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from core.errors import InputRefused, PrevisageError, UsageError
from core.records import record

Run = Callable[..., np.ndarray]
"""One or two batches (n, 3, h, w), float32, to the first output."""
TORCHSCRIPT = (".pt", ".ts", ".torchscript")


@record
class InputForm:
    """What a network wants to see: squares of side_px (None: any size), RGB from low to high."""

    side_px: int | None
    low: float
    high: float


@record
class MetricNetwork:
    """A network and the form of its input."""

    run: Run
    form: InputForm
    title: str

    def batch(self, pictures: list[UInt8[np.ndarray, "h w 3"]]) -> Float[np.ndarray, "n 3 a b"]:
        """Pictures as the network wants them; resized with antialiasing, as clean-fid does."""
        side = self.form.side_px
        sized = [p if side is None or p.shape[:2] == (side, side) else np.asarray(
            Image.fromarray(p).resize((side, side), Image.Resampling.BICUBIC)) for p in pictures]
        scale = (self.form.high - self.form.low) / 255
        return np.stack(sized).transpose(0, 3, 1, 2).astype(np.float32) * np.float32(scale) + np.float32(self.form.low)


def form_from(text: str) -> InputForm:
    """`SIDE:LOW:HIGH`, as 299:-1:1; SIDE may be `any`. UsageError: something else."""
    try:
        side, low, high = text.split(":")
        form = InputForm(side_px=None if side == "any" else int(side), low=float(low), high=float(high))
        if (form.side_px is not None and not 8 <= form.side_px <= 4096) or not form.low < form.high:
            raise ValueError(text)
    except ValueError as error:
        raise UsageError("bad_form", f"{text!r} is no form of a network's input.", "Give SIDE:LOW:HIGH, as 299:-1:1 or "
                         "any:0:1.") from error
    return form


def load_network(path: Path, form: InputForm) -> MetricNetwork:
    """A network of a metric. UsageError: no such file or format. PrevisageError: a package is missing.

    InputRefused: the file cannot be read as what its ending says.
    """
    if not path.is_file():
        raise UsageError("no_file", f"There is no file {path}.", "Give the network's .onnx or TorchScript file.")
    if path.suffix == ".onnx":
        return MetricNetwork(run=onnx_run(path), form=form, title=path.name)
    if path.suffix in TORCHSCRIPT:
        return MetricNetwork(run=torch_run(path), form=form, title=path.name)
    raise UsageError("network_format", f"{path.name} is neither ONNX nor TorchScript.",
                     "A state dict (.pth) is no network: export it with torch.onnx.export or torch.jit.script.")


def package(name: str, extra: str) -> Any:
    """A package of an extra. PrevisageError: it is missing or broken."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise PrevisageError("missing_package", f"This network needs {name}, which cannot be used here "
                             f"({type(error).__name__}: {error}).", f"pip install 'previsage[{extra}]'") from error


def onnx_run(path: Path) -> Run:
    """A network in ONNX Runtime."""
    runtime = package("onnxruntime", "restore")
    settings = runtime.SessionOptions()
    settings.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), settings, providers=runtime.get_available_providers())
    except Exception as error:
        raise unreadable(path, error) from error
    names = [i.name for i in session.get_inputs()]

    def run(*batches: np.ndarray) -> np.ndarray:
        if len(batches) != len(names):
            raise InputRefused("network_inputs", f"{path.name} takes {len(names)} pictures, not {len(batches)}.",
                               "It is the network of another metric.")
        return np.asarray(session.run(None, dict(zip(names, batches, strict=True)))[0], np.float32)

    return run


def torch_run(path: Path) -> Run:
    """A network in TorchScript, on the processor."""
    torch = package("torch", "diffusion")
    try:
        model = torch.jit.load(str(path), map_location="cpu").eval()
    except Exception as error:
        raise unreadable(path, error) from error
    named = {argument.name for argument in model.forward.schema.arguments}
    wanted = {"return_features": True} if "return_features" in named else {}  # NVIDIA's Inception gives classes else

    def run(*batches: np.ndarray) -> np.ndarray:
        try:
            with torch.inference_mode():
                made = model(*(torch.from_numpy(b) for b in batches), **wanted)
        except Exception as error:
            raise InputRefused("network_inputs", f"{path.name} does not take {len(batches)} batches of pictures: "
                               f"{str(error).strip().splitlines()[-1]}", "It is another metric's network, or wants "
                               "its input in another form.") from error
        first = made[0] if isinstance(made, (tuple, list)) else made
        return np.asarray(first.float().numpy(), np.float32)

    return run


def unreadable(path: Path, error: Exception) -> InputRefused:
    """The refusal of a damaged or other file."""
    return InputRefused("unreadable_network", f"{path.name} cannot be read as a network "
                        f"({str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__}).",
                        "Export it anew.")


def aligned(picture: UInt8[np.ndarray, "h w 3"], five_px: Float[np.ndarray, "5 2"],
            template_px: Float[np.ndarray, "5 2"], side_px: int) -> UInt8[np.ndarray, "a a 3"]:
    """The face on a recogniser's square: the similarity of five points (eyes, tip, mouth corners; picture-left first).

    ValueError: the points lie in one place.
    """
    a, b = (points[:, 0] + 1j * points[:, 1] for points in (five_px, template_px))
    spread = np.vdot(a - a.mean(), a - a.mean()).real
    if not spread > 1:
        raise ValueError("the face's landmarks lie in one place")
    turn = np.vdot(a - a.mean(), b - b.mean()) / spread
    shift = b.mean() - turn * a.mean()
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    source = picture
    if abs(turn) < 0.5:  # larger faces would alias
        source = cv2.GaussianBlur(picture, (0, 0), 0.5 * float(np.sqrt(1 / abs(turn)**2 - 1)))
    return cv2.warpAffine(source, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
