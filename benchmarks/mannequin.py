"""Reconstruct the filmed mannequin from its colour frames, and measure it against the phone's own fused depth.

    python benchmarks/mannequin.py [--data ../shared/data/rgbd_mannequin_truedepth] [--case CASE]

The cloud was fused from the phone's depth sensor (0.7 mm median residual), in metres; the poses of its frames bring the
head to it, then closest points do (rigidly: *metric*; with one scale: *shape*). Only the face counts: surfels within
95 mm of the nose tip that the colour frames saw from in front. The depth frames are not shown to the program; a
mannequin has no irises, so its size comes from the model's average alone.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import open3d as o3d

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from core.mesh import Mesh  # noqa: E402  (the repository need not be installed)
from core.transforms import inverse, umeyama  # noqa: E402
from previsage import load, reconstruct  # noqa: E402

DATA = ROOT.parent / "shared" / "data" / "rgbd_mannequin_truedepth"
FACE_MM, ROUNDS = 95.0, 60
UPRIGHT_FROM_OURS = np.diag([-1.0, -1, 1, 1])
"""The data's upright camera axes point left and up, ours right and down."""


def main() -> None:
    """Reconstruct (or open a case) and print the errors as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--case", type=Path, help="where the case is or goes; without it nothing is kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        case = given.case or Path(scratch) / "mannequin"
        head = load(case) if (case / "recon").exists() else reconstruct([given.data / "color"], case)
    cloud = np.load(given.data / "fused_surfels.npz")
    points, normals = cloud["xyz_m"].astype(float) * 1000, cloud["normal"].astype(float)
    turn, shift = world_from_head(head, json.loads((given.data / "poses_icp.json").read_text()))
    tip = turn @ head.landmarks.points[4] + shift
    towards = turn @ np.array([0.0, 0, 1])
    face = (np.linalg.norm(points - tip, axis=1) < FACE_MM) & (normals @ towards > 0.2)
    row = {"surfels": int(face.sum()), "views": len(head.views), "cameras": head.report["what_ran"]["cameras"],
           "surface": head.report["what_ran"]["surface"], "scale": head.scale.source}
    for name, scaled in (("metric", False), ("shape", True)):
        size, far = closest(head.mesh, points[face], turn, shift, scaled)
        row[name] = {"mean_mm": round(float(far.mean()), 3), "median_mm": round(float(np.median(far)), 3),
                     "p90_mm": round(float(np.percentile(far, 90)), 3)}
        near = np.linalg.norm(points[face] - tip, axis=1) < 25
        row[name]["nose_mean_mm"] = round(float(far[near].mean()), 3)
        if scaled:
            row["scale_error_percent"] = round(100 * (1 / size - 1), 2)
    print(json.dumps(row, indent=1))


def world_from_head(head, poses: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation (mm) from the head frame to the cloud's, by the cameras both know."""
    ours, theirs, turns = [], [], []
    for view in head.views:
        pose = np.array(poses[int(Path(view.source).stem)]["T_world_from_cam_upright"]) @ UPRIGHT_FROM_OURS
        ours.append(inverse(view.camera.cam_from_head)[:3, 3])
        theirs.append(pose[:3, 3] * 1000)
        turns.append(pose[:3, :3] @ view.camera.cam_from_head[:3, :3])
    u, _, vt = np.linalg.svd(np.sum(turns, axis=0))
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return turn, np.median(np.array(theirs) - np.array(ours) @ turn.T, axis=0)


def closest(mesh: Mesh, points: np.ndarray, turn: np.ndarray, shift: np.ndarray, scaled: bool) -> tuple[
        float, np.ndarray]:
    """Closest-point alignment of the head to the points; its scale and each point's distance (mm)."""
    size = 1.0
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(mesh.vertices_mm.astype(np.float32)),
                        o3d.core.Tensor(mesh.faces.astype(np.uint32)))
    for _ in range(ROUNDS):
        back = (points - shift) @ turn / size
        near = scene.compute_closest_points(o3d.core.Tensor(back.astype(np.float32)))["points"].numpy().astype(float)
        far = np.linalg.norm(near - back, axis=1) * size
        kept = far < max(3 * np.median(far), 1e-6)
        fitted, turn, shift = umeyama(near[kept], points[kept])
        size = fitted if scaled else 1.0
        if not scaled:
            shift = points[kept].mean(0) - turn @ near[kept].mean(0)
    back = (points - shift) @ turn / size
    near = scene.compute_closest_points(o3d.core.Tensor(back.astype(np.float32)))["points"].numpy().astype(float)
    return size, np.linalg.norm(near - back, axis=1) * size


if __name__ == "__main__":
    main()
