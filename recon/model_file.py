"""A FaceModel as one npz file: plain arrays, nothing that could run."""

import numpy as np

from core.face_model import FaceModel
from core.store import anatomy_arrays, anatomy_from_arrays


def arrays_of(model: FaceModel) -> dict[str, np.ndarray]:
    """A head model as named arrays; bases and weights at half precision (0.004 mm on a mode that moves 8 mm)."""
    anatomy = anatomy_arrays(model.anatomy)
    anatomy["region_weights"] = anatomy["region_weights"].astype(np.float16)
    return {"template_mm": model.template_mm, "faces": model.faces, "uv": model.uv.astype(np.float32),
            "faces_uv": model.faces_uv, "identity_basis_mm": model.identity_basis_mm.astype(np.float16),
            "expression_names": np.array(model.expression_names),
            "expression_basis_mm": model.expression_basis_mm.astype(np.float16),
            "joint_names": np.array(model.joint_names), "joints_mm": model.joints_mm, **anatomy,
            "view_yaw_rad": model.view_yaw_rad, "view_offset_mm": model.view_offset_mm.astype(np.float32),
            "view_sd_mm": model.view_sd_mm.astype(np.float32)}


def model_from_arrays(name: str, arrays: dict[str, np.ndarray]) -> FaceModel:
    """The inverse of `arrays_of`. KeyError or ValueError: an array is missing or does not fit the others."""
    a = arrays
    return FaceModel(
        name=name, template_mm=a["template_mm"], faces=a["faces"], uv=a["uv"], faces_uv=a["faces_uv"],
        identity_basis_mm=a["identity_basis_mm"], expression_names=tuple(a["expression_names"].tolist()),
        expression_basis_mm=a["expression_basis_mm"], joint_names=tuple(a["joint_names"].tolist()),
        joints_mm=a["joints_mm"], anatomy=anatomy_from_arrays(a), view_yaw_rad=a["view_yaw_rad"],
        view_offset_mm=a["view_offset_mm"], view_sd_mm=a["view_sd_mm"])
