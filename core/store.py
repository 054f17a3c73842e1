"""Reconstruction and Prediction as files of a case: what the folder holds is what the record holds, exactly.

Exchange files for other programs (PLY, GLB, PNG, JSON) lie beside `surface.npz` and `prediction.npz`, which carry the
full double-precision arrays and are what Previsage reads back.
"""

import contextlib
import dataclasses
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.anatomy import Anatomy
from core.camera import Camera
from core.certainty import seen_at, within95_mm
from core.errors import PrevisageError
from core.files import read_json, write_bytes, write_json
from core.glb import write_glb
from core.landmarks import MEDIAPIPE478, Landmarks3D
from core.mesh import Mesh
from core.ply import write_ply
from core.prediction import Coupled, Landed, Prediction
from core.reconstruction import Reconstruction, Scale, View
from core.surface import SurfacePoints
from core.texture import Texture

DELIT = "texture_delit.png"
SEEN = "seen.npy"


def save_npz(path: Path, **arrays: np.ndarray) -> None:
    """Compressed arrays, written whole."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def save_npy(path: Path, array: np.ndarray) -> None:
    """One array, written whole."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_bytes(path, buffer.getvalue())


def save_png(path: Path, picture: np.ndarray) -> None:
    """An 8-bit picture (grey or RGB), written whole; fast compression."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    write_bytes(path, buffer.getvalue())


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of an npz file."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def load_picture(path: Path) -> np.ndarray:
    """A picture's pixels."""
    with Image.open(path) as image:
        return np.asarray(image)


@contextlib.contextmanager
def damaged(folder: Path, command: str) -> Iterator[None]:
    """Turn whatever a missing, truncated or altered file raises into one named error."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, SyntaxError, zipfile.BadZipFile, zlib.error) as error:
        raise PrevisageError("case_damaged", f"A file of {folder} is missing or damaged.",
                             f"Run `previsage {command}` again with the same arguments.") from error


def anatomy_arrays(anatomy: Anatomy) -> dict[str, np.ndarray]:
    """An anatomy as named arrays."""
    return {"pins478_face": anatomy.pins478.face, "pins478_bary": anatomy.pins478.bary,
            "pin_names": np.array(anatomy.pin_names), "pin_face": anatomy.pin_points.face,
            "pin_bary": anatomy.pin_points.bary, "region_names": np.array(anatomy.region_names),
            "region_weights": anatomy.region_weights}


def anatomy_from_arrays(arrays: dict[str, np.ndarray]) -> Anatomy:
    """The inverse of `anatomy_arrays`."""
    return Anatomy(pins478=SurfacePoints(face=arrays["pins478_face"], bary=arrays["pins478_bary"]),
                   pin_names=tuple(arrays["pin_names"].tolist()),
                   pin_points=SurfacePoints(face=arrays["pin_face"], bary=arrays["pin_bary"]),
                   region_names=tuple(arrays["region_names"].tolist()), region_weights=arrays["region_weights"])


def save_reconstruction(folder: Path, head: Reconstruction) -> None:
    """Write every file of `recon/`."""
    mesh, texture = head.mesh, head.texture
    write_ply(folder / "mesh.ply", mesh, texture.vertex_colors(mesh))
    write_glb(folder / "head.glb", mesh, texture, (), *certainty_of(head))
    save_png(folder / "texture.png", texture.rgb)
    save_png(folder / "texture_seen.png", texture.seen)
    if head.delit is not None:
        save_png(folder / DELIT, head.delit.rgb)
    save_npy(folder / "landmarks478.npy", head.landmarks.points)
    save_npy(folder / "uncertainty.npy", head.uncertainty_mm)
    save_npy(folder / SEEN, head.seen)
    write_json(folder / "cameras.json", {"views": [
        {"K": v.camera.K_px, "distortion": v.camera.distortion, "cam_from_head": v.camera.cam_from_head,
         "size_wh": v.camera.size_wh, "file": v.path, "source": v.source, "reprojection_px": v.reprojection_px,
         "centre95_mm": v.centre95_mm}
        for v in head.views]})
    if reserved := {"model", "scale"} & head.report.keys():
        raise ValueError(f"the fit report must not carry {sorted(reserved)}: fit.json has these from the head itself")
    write_json(folder / "fit.json", {
        "model": head.model, "scale": {**dataclasses.asdict(head.scale),
                                       "interval95_percent": head.scale.interval95_percent}, **head.report})
    save_npz(folder / "surface.npz", vertices_mm=mesh.vertices_mm, faces=mesh.faces, uv=mesh.uv,
             faces_uv=mesh.faces_uv, identity=head.identity, expression=head.expression,
             landmarks=head.landmarks.points, confidence=head.landmarks.confidence, **anatomy_arrays(head.anatomy))


def load_reconstruction(folder: Path) -> Reconstruction:
    """Read `recon/` back; PrevisageError when it is missing or damaged."""
    with damaged(folder, "reconstruct"):
        fit, arrays = read_json(folder / "fit.json"), load_npz(folder / "surface.npz")
        scale = fit.pop("scale")
        texture = Texture(rgb=load_picture(folder / "texture.png"), seen=load_picture(folder / "texture_seen.png"))
        mesh = Mesh(vertices_mm=arrays["vertices_mm"], faces=arrays["faces"], uv=arrays["uv"],
                    faces_uv=arrays["faces_uv"])
        return Reconstruction(
            mesh=mesh, seen=seen_of(folder, mesh, texture),
            texture=texture, delit=delit_of(folder, texture),
            anatomy=anatomy_from_arrays(arrays),
            views=tuple(view_from_json(v) for v in read_json(folder / "cameras.json")["views"]),
            landmarks=Landmarks3D(scheme=MEDIAPIPE478, points=arrays["landmarks"], confidence=arrays["confidence"]),
            model=fit.pop("model"), identity=arrays["identity"], expression=arrays["expression"],
            scale=Scale(mm_per_unit=scale["mm_per_unit"], source=scale["source"], sd_relative=scale["sd_relative"]),
            uncertainty_mm=np.load(folder / "uncertainty.npy"), report=fit)


def seen_of(folder: Path, mesh: Mesh, texture: Texture) -> np.ndarray:
    """What the cameras saw; a case made without the file has it in its texture."""
    return np.load(folder / SEEN) if (folder / SEEN).exists() else seen_at(texture, mesh)


def certainty_of(head: Reconstruction) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """What a GLB carries of it: one value per vertex, and the distance that holds 95 % of the seen skin."""
    within = within95_mm(head.mesh, head.uncertainty_mm, head.face_seen)
    return ({"_UNCERTAINTY_MM": head.uncertainty_mm, "_SEEN": head.seen},
            {"within95_mm": round(within, 3)} if np.isfinite(within) else {})


def delit_of(folder: Path, texture: Texture) -> Texture | None:
    """The skin under an even light, seen where the texture was; None in a case made without it."""
    return Texture(rgb=load_picture(folder / DELIT), seen=texture.seen) if (folder / DELIT).exists() else None


def view_from_json(view: dict) -> View:
    """One row of `cameras.json`."""
    camera = Camera(K_px=np.array(view["K"]), cam_from_head=np.array(view["cam_from_head"]),
                    size_wh=tuple(view["size_wh"]), distortion=np.array(view["distortion"]))
    return View(camera=camera, path=view["file"], source=view["source"], reprojection_px=view["reprojection_px"],
                centre95_mm=view.get("centre95_mm"))  # a case made without it says nothing


ARRAYS = ("displacement_mm", "low_mm", "high_mm", "swelling_mm", "swelling_percent")
"""What of a prediction is kept as arrays; the band and the swelling in single precision."""


def save_prediction(folder: Path, head: Reconstruction, prediction: Prediction) -> None:
    """Write a plan's displacement, morphable head and report; views are rendered separately."""
    write_json(folder / "plan.json", prediction.plan)
    save_npy(folder / "displacement.npy", prediction.total_mm())
    save_npz(folder / "prediction.npz", **{
        name: getattr(prediction, name).astype(np.float64 if name == "displacement_mm" else np.float32)
        for name in ARRAYS})
    record = {f.name: getattr(prediction, f.name) for f in dataclasses.fields(prediction)
              if f.name not in (*ARRAYS, "landed", "couplings")}
    record["landed"] = [{**dataclasses.asdict(item), "error_mm": item.error_mm} for item in prediction.landed]
    record["couplings"] = [dataclasses.asdict(item) for item in prediction.couplings]
    record["swelling_percent"] = {name: dict(zip(map(str, prediction.swelling_months), row, strict=True)) for name, row
                                  in zip(prediction.swelling_names, prediction.swelling_percent.tolist(), strict=True)}
    write_json(folder / "prediction.json", record)
    write_glb(folder / "predicted.glb", head.mesh, head.texture,
              tuple(zip(prediction.step_names, prediction.displacement_mm, strict=True)), *certainty_of(head))


def load_prediction(folder: Path) -> Prediction:
    """Read a plan's prediction back; PrevisageError when it is missing or damaged."""
    with damaged(folder, "predict"):
        record = read_json(folder / "prediction.json")
        landed = tuple(Landed(step=i["step"], pin=i["pin"], asked_mm=tuple(i["asked_mm"]),
                              landed_mm=tuple(i["landed_mm"])) for i in record.pop("landed"))
        couplings = tuple(Coupled(**i) for i in record.pop("couplings"))
        del record["swelling_percent"]  # told to people; the array is the truth
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        arrays: dict[str, Any] = load_npz(folder / "prediction.npz")
        return Prediction(landed=landed, couplings=couplings, **arrays, **fields)
