"""Sheets of people's own pictures before and after an operation, with the change in mm: a JPEG per operation.

    python benchmarks/photoreal_sheets.py docs/results --cases CASE CASE ... [--names A B ...] \\
        [--procedures rhinoplasty ...] [--profiles PHOTO_OR_- PHOTO_OR_- ...]

Every case is a group of three rows: its frames, the same after the operation (warp3d, as people see it after the
guard), and what changed. Five views spread over the turn. Where a case has no profiles because no landmarks are found
in them, two photographs per case may be given (looking left, looking right; `-`: none): their cameras are fitted here
to the face's outline, for these sheets only. Prints what the guard found.
"""

import argparse
import io
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.optimize import least_squares

from core.camera import Camera
from core.reconstruction import Reconstruction, View
from core.store import load_picture, load_reconstruction
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid
from deform3d import catalogue, predict, read_plan
from previsage.photoreal_stage import cell, checked
from previsage.studio import Studio, spread
from recon.foreground import Foreground
from render.draw import tagged

PROCEDURES = ("rhinoplasty", "mentoplasty", "brow_lift", "lip_augmentation", "malar_augmentation", "rhytidectomy")
INTENSITY = 60.0
VIEWS = 5
CELL_WH = (176, 220)
LARGEST = 420_000
"""Bytes of a committed picture."""
INK, RED = (40, 46, 52), (163, 38, 28)


class Given(Studio):
    """A studio whose frames may lie outside the case."""

    def frame(self, view: View) -> np.ndarray:
        """The picture of a view."""
        return load_picture(Path(view.path) if Path(view.path).is_absolute() else self.case / view.path)[..., :3]


def main() -> int:
    """Write the sheets; exit 1 when one cannot be made small enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", nargs="+", type=Path, required=True)
    parser.add_argument("--names", nargs="+", default=[])
    parser.add_argument("--procedures", nargs="+", default=list(PROCEDURES))
    parser.add_argument("--profiles", nargs="+", default=[])
    parser.add_argument("--png", type=Path, help="also every cell before | after at full size, into this folder")
    given = parser.parse_args()
    names = given.names or [c.name for c in given.cases]
    people = []
    for number, case in enumerate(given.cases):
        head = load_reconstruction(case / "recon")
        extra = [outlined(head, Path(p).resolve(), side) for p, side in zip(given.profiles[2 * number:2 * number + 2],
                                                                            (-1, 1), strict=False) if p != "-"]
        people.append((names[number], case, head, spread((*head.views, *extra), VIEWS)))
    for procedure in given.procedures:
        groups = [group(*person, procedure, given.png) for person in people]
        if not written(given.folder / f"photoreal_{procedure}.jpg", sheet(procedure, groups)):
            return 1
    return 0


def group(name: str, case: Path, head: Reconstruction, views: list[View], procedure: str, png: Path | None) -> tuple[
        str, list[list[np.ndarray]]]:
    """One case: rows before, after, change."""
    plan = read_plan({"procedures": [{"procedure": procedure, "intensity": INTENSITY}]})
    studio = Given(case, head, predict(head.mesh, head.anatomy, plan, catalogue()).total_mm(), [procedure])
    studio.gather_plate()
    rows: list[list[np.ndarray]] = [[], [], []]
    for view in views:
        made = studio.made(view)
        shown, record = checked(studio, made, made.picture, "warp3d")
        parts = cell(studio, made, shown)
        after = parts.after if record["photoreal"] else tagged(parts.after, "plain render (refused)", RED)
        for row, picture in zip(rows, (parts.before, after, parts.difference), strict=True):
            row.append(cv2.resize(picture, CELL_WH, interpolation=cv2.INTER_AREA))
        print(name, procedure, f"{record['angles_deg'][0]:+.0f}", record["label"], record["reason"][:150], flush=True)
        if png is not None and made.seen is not None:
            png.mkdir(parents=True, exist_ok=True)
            window = made.seen.correspondence.window
            Image.fromarray(np.concatenate([made.frame[window], made.picture[window]], 1)).save(
                png / f"{name}_{procedure}_{record['angles_deg'][0]:+03.0f}.png")
    return name, rows


def outlined(head: Reconstruction, photo: Path, side: int) -> View:
    """A profile photograph with the camera that lays the fitted head's profile on the photographed one.

    side: -1 looks to the picture's left, 1 to its right. The person stands before an even wall, and the nose is what
    reaches farthest at the height of the face. From the nasion to the chin the outermost point of every row is
    compared; the turn is held near 90 degrees, the distance near the frames'.
    """
    picture = load_picture(photo)[..., :3]
    height, width = picture.shape[:2]
    rough = Foreground()(picture)
    found = cv2.dilate(rough.astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
    wall = cv2.inpaint(cv2.resize(picture, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA), cv2.resize(
        found.astype(np.uint8), None, fx=0.125, fy=0.125, interpolation=cv2.INTER_NEAREST), 3, cv2.INPAINT_TELEA)
    apart_from_wall = np.abs(picture.astype(float) - cv2.resize(wall, (width, height))).max(-1)
    person = found & (apart_from_wall > 24)
    _, label, size, _ = cv2.connectedComponentsWithStats(
        cv2.morphologyEx(person.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)))
    person = label == 1 + int(np.argmax(size[1:, cv2.CC_STAT_AREA]))
    nearest = min(head.views, key=lambda v: abs(v.camera.head_angles_rad[0] - side * np.pi / 2)).camera
    faces_right = side > 0
    skin = head.mesh.vertices_mm[(head.anatomy.region("face") > 0.3)]
    top, bottom = (head.mesh.points(head.anatomy.pin_points[[head.anatomy.pin_names.index(n)]])[0, 1]
                   for n in ("n", "me"))
    middle = skin[(np.abs(skin[:, 0]) < 12) & (skin[:, 1] > bottom - 4) & (skin[:, 1] < top + 8)]
    edge = (lambda row: np.flatnonzero(row)[-1] if faces_right else np.flatnonzero(row)[0])  # noqa: E731

    def camera(p: np.ndarray) -> Camera:
        turn = head_rotation(float(p[0]), float(p[1]), float(p[2]))
        return Camera(K_px=nearest.K_px, size_wh=(width, height), distortion=nearest.distortion,
                      cam_from_head=rigid(OPENCV_FROM_HEAD @ turn, p[3:]))

    def apart(p: np.ndarray) -> np.ndarray:
        px = camera(p).px_from_points(middle)
        if not np.isfinite(px).all():
            return np.full(74, 60.0)
        rows = np.linspace(px[:, 1].min() + 3, px[:, 1].max() - 3, 70)
        sign = 1 if faces_right else -1
        ours = np.array([(sign * px[np.abs(px[:, 1] - r) < 9, 0]).max(initial=-1e4) * sign for r in rows])
        theirs = np.array([edge(person[int(np.clip(r, 0, height - 1))]) if person[int(np.clip(r, 0, height - 1))].any()
                           else 0 for r in rows], float)
        held = [(p[0] - start[0]) * 600, (p[1] - start[1]) * 300, (p[2] - start[2]) * 600, (p[5] - start[5]) * 0.5]
        return np.concatenate([np.clip(ours - theirs, -60, 60), held])

    rows = np.arange(int(0.35 * height), int(0.72 * height))
    columns = np.array([edge(person[r]) if person[r].any() else -side * 1e6 for r in rows])
    tip_px = np.array([columns[np.argmax(side * columns)], rows[np.argmax(side * columns)]], float)
    prn = head.mesh.points(head.anatomy.pin_points[[head.anatomy.pin_names.index("prn")]])
    start = np.array([side * np.pi / 2, 0.0, 0.0, *nearest.cam_from_head[:3, 3]])
    for _ in range(4):
        gap = tip_px - camera(start).px_from_points(prn)[0]
        start[3:5] += gap * start[5] / nearest.K_px[0, 0]
    best = min((least_squares(apart, start + [0, pitch, 0, 0, dy, 0], x_scale=[0.1, 0.1, 0.1, 10, 10, 30],
                              diff_step=1e-3, loss="soft_l1", f_scale=4.0, max_nfev=80)
                for dy in (-6.0, 0.0, 6.0) for pitch in (-0.12, 0.0, 0.12)), key=lambda r: r.cost)
    off = np.median(np.abs(apart(best.x)[:-4]))
    print(f"{photo.name}: outline within {off:.1f} px, turned {np.degrees(best.x[:3]).round(1).tolist()}", flush=True)
    return View(camera=camera(best.x), path=str(photo), source=photo.name, reprojection_px=float(off))


def sheet(procedure: str, groups: list[tuple[str, list[list[np.ndarray]]]]) -> Image.Image:
    """One page."""
    width, height = CELL_WH
    margin, head = 74, 26
    page = Image.new("RGB", (margin + VIEWS * width, head + len(groups) * (3 * height + 8)), "white")
    pen, font, small = ImageDraw.Draw(page), ImageFont.load_default(15), ImageFont.load_default(12)
    pen.text((6, 5), f"{procedure.replace('_', ' ')} at {INTENSITY:.0f} %, warp3d", INK, font)
    pen.text((page.width - 320, 6), "SIMULATION - not a promise of the result", RED, font)
    for number, (name, rows) in enumerate(groups):
        for line, (word, cells) in enumerate(zip(("before", "after", "change"), rows, strict=True)):
            y = head + number * (3 * height + 8) + line * height
            pen.text((4, y + 6), f"{name}\n{word}" if line == 0 else word, RED if line == 1 else INK, small)
            for column, picture in enumerate(cells):
                page.paste(Image.fromarray(picture), (margin + column * width, y))
    return page


def written(path: Path, page: Image.Image) -> bool:
    """Save the JPEG of the best quality that is small enough."""
    for quality in range(88, 40, -6):
        page.save(data := io.BytesIO(), "JPEG", quality=quality, optimize=True)
        if data.tell() <= LARGEST:
            path.write_bytes(data.getvalue())
            print(f"{path}: {data.tell() // 1000} kB")
            return True
    print(f"{path} would be larger than {LARGEST} bytes.", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
