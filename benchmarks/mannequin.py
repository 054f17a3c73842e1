"""Reconstruct the filmed mannequin from its colour frames, and measure it against the phone's own fused depth.

    python benchmarks/mannequin.py [--data ../shared/data/rgbd_mannequin_truedepth] [--case CASE]

The cloud was fused from the phone's depth sensor (0.7 mm median residual), in metres; the poses of its frames bring the
head to it, then closest points do (rigidly: *metric*; with one scale: *shape*). Only the face counts: surfels within
95 mm of the nose tip that the colour frames saw from in front. The depth frames are not shown to the program, and a
mannequin's irises are painted at any size: *metric* is with the size that the program states, *metric_depth* with the
one that the depth frames give (for the size alone). `--picture` draws where the surface lies before (red) or behind
(blue) the found one, 3 mm at the full colour.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import open3d as o3d

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from core.mesh import Mesh  # noqa: E402  (the repository need not be installed)
from core.transforms import inverse, umeyama  # noqa: E402
from previsage import load, reconstruct  # noqa: E402
from render.rasterize import rasterize  # noqa: E402

DATA = ROOT.parent / "shared" / "data" / "rgbd_mannequin_truedepth"
FACE_MM, ROUNDS = 95.0, 60
UPRIGHT_FROM_OURS = np.diag([-1.0, -1, 1, 1])
"""The data's upright camera axes point left and up, ours right and down."""


def main() -> None:
    """Reconstruct (or open a case) and print the errors as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--case", type=Path, help="where the case is or goes; without it nothing is kept")
    parser.add_argument("--picture", type=Path, help="where to draw the signed distances")
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
    by_depth = size_in_depth(head, given.data)
    row = {"surfels": int(face.sum()), "views": len(head.views), "cameras": head.report["what_ran"]["cameras"],
           "surface": head.report["what_ran"]["surface"], "scale": head.scale.source,
           "scale_by_depth": round(by_depth, 4)}
    near = np.linalg.norm(points[face] - tip, axis=1) < 25
    for name, scaled, by in (("metric", False, 1.0), ("metric_depth", False, by_depth), ("shape", True, 1.0)):
        mesh = head.mesh.with_vertices(head.mesh.vertices_mm * by)
        size, far, back = closest(mesh, points[face], turn, shift, scaled)
        row[name] = {"mean_mm": round(float(far.mean()), 3), "median_mm": round(float(np.median(far)), 3),
                     "p90_mm": round(float(np.percentile(far, 90)), 3),
                     "nose_mean_mm": round(float(far[near].mean()), 3)}
    row["scale_error_percent"] = round(100 * (1 / size - 1), 2)
    if given.picture:
        cv2.imwrite(str(given.picture), drawn(head.mesh, back))
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


def size_in_depth(head, data: Path) -> float:
    """True over stated size: each view's depth frame laid on what the head's mesh shows in the same pixels (a
    similarity, so that a wrong focal length does not count), the median over views."""
    lenses = json.loads((data / "camera.json").read_text())["fx_fy_cx_cy_per_frame"]
    sizes = []
    for view in head.views:
        name = Path(view.source)
        depth = np.rot90(cv2.imread(str(data / "depth" / name.name), cv2.IMREAD_UNCHANGED), -1) / 10
        focal, _, cx, cy = lenses[int(name.stem)]
        y, x = np.indices(depth.shape)
        theirs = np.dstack([(x - (depth.shape[1] - 1 - cy)) / focal, (y - cx) / focal, np.ones(depth.shape)])
        theirs = theirs * depth[..., None]
        seen = rasterize(head.mesh, view.camera)
        ours = seen.interpolate(head.mesh.vertices_mm, head.mesh.faces)
        face = seen.covered & (depth > 0) & (np.linalg.norm(ours - head.landmarks.points[4], axis=2) < FACE_MM)
        weight = np.ones(face.sum())
        for _ in range(5):
            size, turn, shift = umeyama(ours[face], theirs[face], weight)
            off = np.linalg.norm(size * ours[face] @ turn.T + shift - theirs[face], axis=1)
            weight = 1 / (1 + (off / np.median(off)) ** 2)
        sizes.append(size)
    return float(np.median(sizes))


def drawn(mesh: Mesh, points: np.ndarray, px_per_mm: float = 2.5, side: int = 520) -> np.ndarray:
    """Signed distances of points (head frame, mm) before and behind the mesh, seen from both sides and the front."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(mesh.vertices_mm.astype(np.float32)),
                        o3d.core.Tensor(mesh.faces.astype(np.uint32)))
    near = scene.compute_closest_points(o3d.core.Tensor(points.astype(np.float32)))
    signed = ((points - near["points"].numpy()) * near["primitive_normals"].numpy()).sum(1)
    share = np.clip(signed / 3, -1, 1)
    colour = 255 * np.column_stack([1 - np.maximum(share, 0), 1 - np.abs(share), 1 + np.minimum(share, 0)])
    sheets = []
    for across, towards in (((0, 0, 1), (1, 0, 0)), ((1, 0, 0), (0, 0, 1)), ((0, 0, -1), (-1, 0, 0))):
        sheet = np.full((side, side, 3), 255, np.uint8)
        at = np.column_stack([points @ across, -points[:, 1]])
        at = np.rint((at - at.mean(0)) * px_per_mm + side / 2).astype(int)
        for k in np.argsort(points @ towards):
            cv2.circle(sheet, (int(at[k, 0]), int(at[k, 1])), 2, colour[k].tolist(), -1)
        sheets.append(sheet)
    return np.hstack(sheets)


def closest(mesh: Mesh, points: np.ndarray, turn: np.ndarray, shift: np.ndarray, scaled: bool) -> tuple[
        float, np.ndarray, np.ndarray]:
    """Closest-point alignment of the head to the points: its scale, each point's distance (mm) and place in its
    frame."""
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
    return size, np.linalg.norm(near - back, axis=1) * size, back


if __name__ == "__main__":
    main()
