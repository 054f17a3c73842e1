"""Same profile: do photos from the side show one person? Both sides of a face have one midline, so both profiles have
one outline from forehead to chin, mirrored; the outlines of two people differ.

Laid on each other (turned, moved, up to a tenth larger or smaller), less the worst tenth (a lash, a lock of hair), both
outlines of 15 people lay 0.36 to 0.78 mm apart (root mean square), those of two people, 225 pairs, 0.7 to over 3 mm
(one in twenty below 1.0, median 1.9). A turn that differs by 15 degrees makes 0.6 mm of it, by 20 degrees 1.0.

Photos from the front and one from the side have little in common that tells: what a head must give up to explain a
profile is as much for that of the same person (mean square of its open modes 0.04 to 0.38; of another, 43 pairs, 0.06
to 0.49).
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Complex, Float
from scipy.spatial import cKDTree

from recon.profile import Read
from recon.profile_fit import front_of, mesh_of

APART_MM = 1.0
"""Outlines farther apart are not of one person with one expression."""
ABOVE_MM, BELOW_MM = 25.0, 115.0
"""What is compared, from the nasion: bare forehead to chin."""
MOST_LARGER, WORST, TURNS_RAD, ROUNDS, LEAST = 1.1, 0.1, (-0.15, -0.05, 0.05, 0.15), 40, 10
STRANGE = "Its outline is not that of another photo from the side: it shows somebody else, or another expression."


def strange(reads: Mapping[int, Read]) -> dict[int, str]:
    """Photos from the side, by number, whose outline is far from that of every other, and what to say of them."""
    lines = {k: face_line(read) for k, read in reads.items()}
    near = {k: [apart_mm(line, other) for j, other in lines.items() if j != k] for k, line in lines.items()}
    return {k: STRANGE for k, distances in near.items() if distances and min(distances) > APART_MM}


def face_line(read: Read) -> Complex[np.ndarray, "n"]:
    """The photo's outline from forehead to chin, x + i y in mm from the nasion, as if it showed the right side."""
    laid, scene, basis = read.laid, read.scene, read.basis
    mesh, camera = mesh_of(basis, laid), laid.camera(scene)
    rows = front_of(scene, basis, mesh, camera, laid.px_per_mm)
    nasion = camera.px_from_points(mesh.points(basis.model.anatomy.pin("n")))
    line = (scene.contour.px[rows] - nasion) / laid.px_per_mm * [scene.side, 1]
    line = line[(line[:, 1] > -ABOVE_MM) & (line[:, 1] < BELOW_MM)]
    return np.asarray(line[:, 0] + 1j * line[:, 1])


def apart_mm(a: Complex[np.ndarray, "n"], b: Complex[np.ndarray, "m"]) -> float:
    """How far two lines are from each other when they are laid on each other as well as possible."""
    if min(len(a), len(b)) < LEAST:
        return 0.0
    return max(min(rms(one, laid_on(one, other * np.exp(1j * angle))) for angle in TURNS_RAD)
               for one, other in ((a, b), (b, a)))


def laid_on(a: Complex[np.ndarray, "n"], b: Complex[np.ndarray, "m"]) -> Complex[np.ndarray, "m"]:
    """b turned, moved and scaled a little until its points lie nearest to a (iterated closest points)."""
    tree, laid = cKDTree(flat(a)), b
    for _ in range(ROUNDS):
        away, near = tree.query(flat(laid))
        good = away <= np.quantile(away, 1 - WORST)
        middle, there = b[good].mean(), a[near[good]].mean()
        turn = np.vdot(b[good] - middle, a[near[good]] - there) / np.vdot(b[good] - middle, b[good] - middle)
        laid = (b - middle) * turn / abs(turn) * np.clip(abs(turn), 1 / MOST_LARGER, MOST_LARGER) + there
    return laid


def flat(line: Complex[np.ndarray, "n"]) -> Float[np.ndarray, "n 2"]:
    """As x and y."""
    return np.column_stack([line.real, line.imag])


def rms(a: Complex[np.ndarray, "n"], b: Complex[np.ndarray, "m"]) -> float:
    """Root mean square distance, both ways, of all but the worst."""
    squares = []
    for one, other in ((a, b), (b, a)):
        away = np.sort(cKDTree(flat(one)).query(flat(other))[0])
        squares.append(float(np.mean(away[:max(1, round((1 - WORST) * len(away)))] ** 2)))
    return float(np.sqrt(np.mean(squares)))
