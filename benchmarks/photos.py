"""Profiles that the program never saw: how far photos alone carry.

    python benchmarks/photos.py [--data ../shared/data] [--cases DIR] [--only 021 005] [-o benchmarks/photos]

Profiles (`stills_london_shared`): each head is made from the front and the two three-quarter photos. Its outline is
then laid on each held-back profile photo. The photo's outline is cut from its plain background; the head's is where its
surface turns away from the camera; only the pose is free (turn, place, distance; the focal length is that of the other
photos). The distance between both outlines along nose (nasion to subnasale) and chin (sublabiale to menton), as a share
of the face's height (nasion to menton, of the laid-on head), is measured at every pixel of the photo's outline.

The other side: each head is made once more, of the same three photos and the profile that looks to the picture's left,
and laid on the other profile, which it has still not seen.

An outline laid on an outline hides what the pose can take up: see `photos.md`, which this writes beside `photos.json`.
"""

import argparse
import dataclasses
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.photos_page import page  # noqa: E402  (the repository need not be installed)
from core.camera import Camera  # noqa: E402
from core.mesh import Mesh  # noqa: E402
from core.reconstruction import Reconstruction  # noqa: E402
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid, rotation_from_vector  # noqa: E402
from previsage import load  # noqa: E402
from recon.bust import bust  # noqa: E402
from recon.models import load_model  # noqa: E402
from recon.outline import rim  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
PROFILES = {"01": -90.0, "05": 90.0}
"""Photo and the head's yaw in it (deg)."""
LEAST_CONTRAST = 26.0
"""Grey levels (root of the summed squares over the channels) by which skin differs from the background."""
TURN_SD_RAD = np.radians(4.0)
"""How far a 'full' profile may be turned or tilted out of the picture's plane (1 sd)."""
FREE, HELD = 0.06, 0.002
"""1 sd (share) of the distance against that of the person's other photos: free, or held."""
KERNEL_PX = (40.0, 25.0, 12.0)
"""Geman-McClure scales: points farther off than the last are hair or beard, and hardly pull."""
STARTS_RAD = np.radians([-12.0, 0.0, 12.0])
STARTS_MM = (-18.0, 0.0, 18.0)
"""Pitch of the head, and how far the nose's tip lies beside the photo's foremost point."""
ROUNDS = ([0] * 3 + [1] * 3, [1] * 3 + [2] * 9)
"""The kernel of each step, for every start and then for the best ones."""
OTHERS = 3
"""As many other people's heads are laid on each profile, to compare."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Outline:
    """Points (N,2) px along an outline and its normals (N,2) out of the head."""

    px: np.ndarray
    out: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Laid:
    """A head laid on a profile: its camera, its outline, the head's points of it (N,3) mm, and the robust cost."""

    camera: Camera
    outline: Outline
    points_mm: np.ndarray
    cost: float


def main() -> int:
    """Measure, write the page and the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cases", type=Path, help="where the cases are or go; without it none is kept")
    parser.add_argument("--only", nargs="+", help="numbers of the persons")
    parser.add_argument("--rows", default="profiles,other_side", help="which; the others stay as they were")
    parser.add_argument("--look", type=Path, help="folder for overlays to look at (not for the repository)")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks" / "photos")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cases = given.cases or Path(scratch)
        stills = given.data / "stills_london_shared"
        people = given.only or sorted({p.name[:3] for p in stills.glob("???_03.jpg")})
        made_of = {"profiles": lambda: profiles(stills, people, cases, given.look),
                   "other_side": lambda: other_side(stills, people, cases, given.look)}
        ran = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        before = given.output.with_suffix(".json")
        told = json.loads(before.read_text()) if before.exists() else {"commit": {}}
        for name in given.rows.split(","):
            told[name] = made_of[name]()
            told["commit"][name] = ran.stdout.strip()
    given.output.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")
    given.output.with_suffix(".md").write_text(page(told))
    return 0


def made(photos: list[Path], case: Path) -> tuple[Reconstruction | None, str]:
    """The head that the command line makes of photos (or made before), or None and what it said."""
    if not (case / "recon").exists():
        ran = subprocess.run([sys.executable, "-m", "viewer.cli", "reconstruct", *photos, "-o", case, "--quality",
                              "full"], cwd=ROOT, capture_output=True, text=True)
        if ran.returncode:
            lines = [line for line in ran.stderr.splitlines() if line.startswith("previsage:")]
            return None, f"exit {ran.returncode}, {lines[-1].removeprefix('previsage: ') if lines else 'nothing said'}"
    return load(case), ""


# ---- profiles ----


def profiles(stills: Path, people: list[str], cases: Path, look: Path | None) -> list[dict]:
    """One row per person and profile; the average head and some other people's are laid on it too."""
    rows, heads = [], {}
    for person in people:
        head, why = made([stills / f"{person}_{n}.jpg" for n in ("03", "02", "04")], cases / f"l3_{person}")
        if head is None:
            rows.append({"person": person, "failed": why})
        else:
            heads[person] = head
    for person, head in heads.items():
        mean = average(head)
        for number, yaw_deg in PROFILES.items():
            row = {"person": person, "photo": f"{person}_{number}"}
            picture = np.asarray(Image.open(stills / f"{person}_{number}.jpg").convert("RGB"))
            drawn = outline_in(picture, yaw_deg < 0)
            if drawn is None:
                rows.append(row | {"failed": "no outline before the background"})
                continue
            own = lay(head, drawn, yaw_deg, FREE)
            held = lay(head, drawn, yaw_deg, HELD)
            row |= measured(head, own, drawn)
            row["distance_held"] = measured(head, held, drawn)
            row["average_head"] = measured(mean, lay(mean, drawn, yaw_deg, FREE), drawn)["median"]
            names = list(heads)
            after = [names[(names.index(person) + k) % len(names)] for k in range(1, min(OTHERS, len(names) - 1) + 1)]
            others = [measured(o, lay(o, drawn, yaw_deg, FREE), drawn)["median"]
                      for o in (heads[name] for name in after)]
            row["other_heads"] = round(float(np.median(others)), 2) if others else None
            row["better_others"] = int((np.array(others) < row["median"]).sum())
            rows.append(row)
            print(json.dumps(row), flush=True)
            if look is not None:
                look.mkdir(parents=True, exist_ok=True)
                overlay(picture, drawn, own, look / f"{person}_{number}.png")
    return rows


def other_side(stills: Path, people: list[str], cases: Path, look: Path | None) -> list[dict]:
    """One row per person: the head that was given the left profile too, on the right one."""
    rows = []
    for person in people:
        row = {"person": person, "photo": f"{person}_05"}
        head, why = made([stills / f"{person}_{n}.jpg" for n in ("03", "02", "04", "01")], cases / f"l4_{person}")
        picture = np.asarray(Image.open(stills / f"{person}_05.jpg").convert("RGB"))
        drawn = outline_in(picture, looks_left=False)
        if head is None or drawn is None:
            rows.append(row | {"failed": why or "no outline before the background"})
            continue
        laid = lay(head, drawn, PROFILES["05"], FREE)
        refused = head.report["profiles"]["refused"]
        rows.append(row | measured(head, laid, drawn) | {"refused": list(refused.values())})
        print(json.dumps(rows[-1]), flush=True)
        if look is not None:
            look.mkdir(parents=True, exist_ok=True)
            overlay(picture, drawn, laid, look / f"{person}_05_other.png")
    return rows


def average(head: Reconstruction) -> Reconstruction:
    """The head model's average head, as fine as a reconstructed one, in the place of this head."""
    model = load_model("anny")
    mesh = model.shape(np.zeros(model.identity_basis_mm.shape[0])).pose(np.zeros(len(model.expression_names))).mesh()
    mesh, anatomy, sd_mm = bust(mesh, model.anatomy, np.zeros(len(mesh.vertices_mm)), face_too=True)
    return dataclasses.replace(head, mesh=mesh, anatomy=anatomy, uncertainty_mm=sd_mm, seen=sd_mm)


def outline_in(picture: np.ndarray, looks_left: bool) -> Outline | None:
    """The outline of who stands before a plain background, from the crown down the face's side to the neck.

    The background is a third-degree surface per channel, fitted to the border; the place is where the difference to it
    crosses half of what it is 3 px inside.
    """
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = columns / width - 0.5, rows / height - 0.5
    basis = np.stack([x**i * y**k for i in range(4) for k in range(4 - i)], -1)
    front = columns < 0.1 * width if looks_left else columns > 0.9 * width
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.0)
    background = (front & (rows < 0.5 * height)) | (rows < 0.08 * height)
    for _ in range(4):  # what looks like it beside it joins it
        fit = np.linalg.lstsq(basis[background][::7], smooth[background][::7], rcond=None)[0]
        far = np.linalg.norm(smooth - (basis @ fit), axis=2).astype(np.float32)
        background = (far < LEAST_CONTRAST / 2) & (rows < 0.75 * height)
    mask = cv2.morphologyEx((far > LEAST_CONTRAST).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    found = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    if not found:
        return None
    line = max(found, key=cv2.contourArea)[:, 0].astype(float)
    line = np.stack([np.convolve(np.pad(line[:, k], 4, "wrap"), np.ones(9) / 9, "valid") for k in range(2)], 1)
    along = np.roll(line, -3, 0) - np.roll(line, 3, 0)
    out = np.stack([along[:, 1], -along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    inside = cv2.remap(mask, (line - 4 * out).astype(np.float32)[:, None], None, cv2.INTER_NEAREST)[:, 0]
    if inside.mean() < 0.5:
        out = -out
    side = -out[:, 0] if looks_left else out[:, 0]
    crown = line[:, 1].min()
    kept = (line[:, 1] < crown + 0.8 * (height - crown)) & (side > -0.8) & (line[:, 1] > crown + 10)
    middle = line[np.argmin(line[:, 1]), 0]
    kept &= (line[:, 0] < middle) if looks_left else (line[:, 0] > middle)
    line, out = line[kept], out[kept]
    steps = np.arange(-5, 5.01, 0.25)
    read = cv2.remap(far, (line[:, None] + steps[:, None] * out[:, None]).astype(np.float32), None, cv2.INTER_LINEAR)
    level = 0.5 * read[:, :8].mean(1, keepdims=True)
    crosses = (read[:, :-1] >= level) & (read[:, 1:] < level)
    first = crosses.argmax(1)
    row = np.arange(len(line))
    share = (read[row, first] - level[:, 0]) / np.maximum(read[row, first] - read[row, first + 1], 1e-6)
    off = np.where(crosses.any(1), steps[first] + 0.25 * share, 0)
    return Outline(px=line + off[:, None] * out, out=out)


def lay(head: Reconstruction, drawn: Outline, yaw_deg: float, distance_sd: float) -> Laid:
    """The pose that lays the head's outline on the photo's: from several starts, each point on its nearest line."""
    mesh, view, pins = head.mesh, head.views[0].camera, named(head)
    middle = (pins["n"] + pins["sn"] + pins["pg"]) / 3
    axis = (pins["t_l"] + pins["t_r"]) / 2  # about which a head turns: as far away in every photo
    axis_depth = float(np.mean([v.camera.cam_from_points(axis)[2] for v in head.views]))
    depth = axis_depth + float(head_rotation(np.radians(yaw_deg), 0.0, 0.0)[2] @ (axis - middle))
    forward = np.array([np.sign(yaw_deg), 0.0])
    down = (drawn.px[:, 1] - drawn.px[:, 1].min()) / (view.size_wh[1] - drawn.px[:, 1].min())
    middle_rows = drawn.px[(down > 0.33) & (down < 0.52)]  # of the way from the crown to the picture's end
    nose = middle_rows[np.argmax(middle_rows @ forward)]
    front = front_faces(mesh, pins)
    tree = cKDTree(drawn.px)
    K = view.K_px
    tried = []
    for start, up in itertools.product(STARTS_RAD, STARTS_MM):
        R = OPENCV_FROM_HEAD @ head_rotation(np.radians(yaw_deg), float(start), 0.0)
        tip = R @ (pins["prn"] - middle) + np.array([0.0, up, 0.0])
        place = np.append((nose - K[:2, 2]) / K[0, 0] * (depth + tip[2]) - tip[:2], depth)
        tried.append((*settle(mesh, front, pins, drawn, tree, view, R, np.r_[0, 0, 0, place], middle, depth,
                              min(distance_sd, 0.03), ROUNDS[0]), R))
    best = sorted(tried, key=lambda t: t[0].cost)[:3]
    return min((settle(mesh, front, pins, drawn, tree, view, R, first, middle, depth, distance_sd, ROUNDS[1])[0]
                for _, first, R in best), key=lambda laid: laid.cost)


def settle(mesh: Mesh, front: np.ndarray, pins: dict, drawn: Outline, tree: cKDTree, view: Camera, R0: np.ndarray,
           p: np.ndarray, middle: np.ndarray, depth: float, distance_sd: float, rounds: list[int]) -> tuple[
               Laid, np.ndarray]:
    """Gauss-Newton on turn (about the face's middle), place and distance `p`, with ever narrower kernels."""
    out_of_plane = TURN_SD_RAD / (10 if rounds is ROUNDS[0] else 1)
    prior_sd = np.array([out_of_plane, out_of_plane, np.radians(30.0), 1e3, 1e3, depth * distance_sd])
    normals = mesh.vertex_normals()

    def camera_at(p: np.ndarray) -> Camera:
        R = rotation_from_vector(p[:3]) @ R0
        return Camera(K_px=view.K_px, cam_from_head=rigid(R, p[3:] - R @ middle), size_wh=view.size_wh)

    cost = np.inf
    for kernel in (KERNEL_PX[k] for k in rounds):
        camera = camera_at(p)
        points, outline = outline_of(mesh, normals, front, pins, camera)
        if len(points) < 10:
            break
        near = nearest(outline, drawn, tree)
        out, goal = drawn.out[near], drawn.px[near]

        def off(q: np.ndarray, points: np.ndarray = points, out: np.ndarray = out, goal: np.ndarray = goal,
                ) -> np.ndarray:
            return ((camera_at(q).px_from_points(points) - goal) * out).sum(1)

        r = off(p)
        apart = np.linalg.norm(outline.px - goal, axis=1)
        w = 1 / (1 + (apart / kernel) ** 2) ** 2
        eps = np.array([1e-4, 1e-4, 1e-4, 0.01, 0.01, 0.1])
        J = np.stack([(off(p + e) - r) / e.max() for e in np.diag(eps)], 1)
        share = 30 / len(r)  # the outline's neighbours are not independent: about 30 are; one is good to 3 px
        away = p - np.concatenate([np.zeros(3), [p[3], p[4], depth]])
        A = (J * w[:, None]).T @ J * share / 9 + np.diag(prior_sd**-2)
        b = (J * w[:, None]).T @ r * share / 9 + away / prior_sd**2
        cost = float((1 - 1 / (1 + (apart / kernel) ** 2)).mean()) + float((away**2 / prior_sd**2).sum()) / 300
        p = p - np.clip(np.linalg.solve(A, b), -np.r_[0.1, 0.1, 0.1, 15, 15, 30], np.r_[0.1, 0.1, 0.1, 15, 15, 30])
    camera = camera_at(p)
    points, outline = outline_of(mesh, normals, front, pins, camera)
    return Laid(camera=camera, outline=outline, points_mm=points, cost=cost), p


def named(head: Reconstruction) -> dict[str, np.ndarray]:
    """The anthropometric points by name, mm."""
    return dict(zip(head.anatomy.pin_names, head.mesh.points(head.anatomy.pin_points), strict=True))


def front_faces(mesh: Mesh, pins: dict[str, np.ndarray]) -> np.ndarray:
    """Triangles of the face's middle, which make its outline from the side (no ears, no neck)."""
    centre = mesh.vertices_mm[mesh.faces].mean(1)
    return np.flatnonzero((centre[:, 2] > pins["me"][2] - 45) & (centre[:, 1] > pins["me"][1] - 25) & (
        np.abs(centre[:, 0]) < 55))


def outline_of(mesh: Mesh, normals: np.ndarray, front: np.ndarray, pins: dict, camera: Camera) -> tuple[
        np.ndarray, Outline]:
    """The head's points (mm) from hairline to below the chin that bound it in the picture, and their outline."""
    place = rim(mesh, normals, np.ones(len(normals)), camera)
    points, out = mesh.points(place), place.on(normals, mesh.faces)
    near = (points[:, 1] < pins["tr"][1]) & (points[:, 1] > pins["me"][1] - 3) & (np.abs(points[:, 0]) < 30) & (
        points[:, 2] > pins["me"][2] - 12)
    points, out = points[near], out[near]
    px = camera.px_from_points(points)
    away = camera.px_from_points(points + out) - px
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    mask = np.zeros((camera.size_wh[1], camera.size_wh[0]), np.uint8)
    corners = np.round(camera.px_from_points(mesh.vertices_mm)[mesh.faces[front]] * 16).astype(np.int32)
    for triangle in corners:
        cv2.fillConvexPoly(mask, triangle, 1, cv2.LINE_8, 4)
    at = np.clip(np.round(px + 2 * away).astype(int), 0, np.array(camera.size_wh) - 1)
    bounds = mask[at[:, 1], at[:, 0]] == 0
    return points[bounds], Outline(px=px[bounds], out=away[bounds])


def nearest(outline: Outline, drawn: Outline, tree: cKDTree) -> np.ndarray:
    """For each point of the head's outline, the photo's nearest that faces the same way (of 60; else the nearest)."""
    far, rows = tree.query(outline.px, k=60)
    facing = (drawn.out[rows] * outline.out[:, None]).sum(2) > 0.6
    return rows[np.arange(len(rows)), np.where(facing, far, far + 1e4).argmin(1)]


def measured(head: Reconstruction, laid: Laid, drawn: Outline) -> dict:
    """Distances between the outlines, % of the face's height, at the photo's points along nose and chin.

    Between two points of the head's outline the distance is that to the line through the nearer one.
    """
    pins = named(head)
    px = {name: laid.camera.px_from_points(p) for name, p in pins.items()}
    height = float(np.linalg.norm(px["n"] - px["me"]))
    y = laid.points_mm[:, 1]
    part = np.where((y <= pins["n"][1]) & (y >= pins["sn"][1]), 1, np.where(
        (y <= pins["sl"][1]) & (y >= pins["me"][1]), 2, 0))
    apart, rows = cKDTree(laid.outline.px).query(drawn.px, k=40)
    facing = (drawn.out[:, None] * laid.outline.out[rows]).sum(2) > 0.5
    row = rows[np.arange(len(rows)), np.where(facing, apart, apart + 1e4).argmin(1)]
    away, out = drawn.px - laid.outline.px[row], laid.outline.out[row]
    across = (away * out).sum(1)
    along = np.linalg.norm(away - across[:, None] * out, axis=1)
    off = 100 * np.where(along < 0.015 * height, np.abs(across), np.linalg.norm(away, axis=1)) / height
    near = (off < 15) & (along < np.maximum(0.015 * height, np.abs(across)))  # not past an end of the head's outline
    nose, chin = near & (part[row] == 1), near & (part[row] == 2)
    angles = np.degrees(laid.camera.head_angles_rad)
    axis = (pins["t_l"] + pins["t_r"]) / 2
    depth = np.mean([v.camera.cam_from_points(axis)[2] for v in head.views])
    told = {"median": np.median(off[nose | chin]), "p90": np.percentile(off[nose | chin], 90),
            "nose": np.median(off[nose]), "chin": np.median(off[chin]),
            "tip_forward": tip(laid, drawn, part == 1, nose, px, height),
            "chin_forward": tip(laid, drawn, part == 2, chin, px, height),
            "distance": laid.camera.cam_from_points(axis)[2] / depth,
            "yaw_deg": angles[0], "roll_deg": angles[2], "face_height_px": height}
    return {name: round(float(value), 2) for name, value in told.items()} | {"points": int((nose | chin).sum())}


def tip(laid: Laid, drawn: Outline, on_head: np.ndarray, on_photo: np.ndarray, px: dict, height: float) -> float:
    """How much farther forward (across the line from nasion to menton, % of its length) the head's foremost point of a
    part lies than the photo's."""
    down = (px["me"] - px["n"]) / height
    forward = np.array([-down[1], down[0]])
    forward *= np.sign(forward @ (px["prn"] - px["n"]))
    return 100 * float((laid.outline.px[on_head] @ forward).max() - (drawn.px[on_photo] @ forward).max()) / height


def overlay(picture: np.ndarray, drawn: Outline, laid: Laid, path: Path) -> None:
    """The photo with its outline (green) and the head's (red), twice its size around the face."""
    low = np.maximum(laid.outline.px.min(0) - 60, 0).astype(int)
    high = np.minimum(laid.outline.px.max(0) + 60, np.array(picture.shape[1::-1])).astype(int)
    shown = cv2.resize(picture[low[1]:high[1], low[0]:high[0]], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    for points, colour in ((drawn.px, (0, 200, 0)), (laid.outline.px, (255, 0, 0))):
        for x, y in np.round((points - low + 0.5) * 2 - 0.5).astype(int):
            cv2.circle(shown, (int(x), int(y)), 1 if colour[1] else 2, colour, -1)
    Image.fromarray(shown).save(path)


if __name__ == "__main__":
    sys.exit(main())
