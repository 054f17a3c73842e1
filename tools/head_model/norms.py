"""Centre the model on published adult face measures: Anny's average head is an artist's, not a population's.

Anny's average is also flat in the middle of the face: nose and lips lie 3 to 4 mm too far back between the cheeks,
which shows as soon as the head turns. So depths before the outer eye corners are centred too; those are of a face that
may nod against ours, so they are compared after the nod that fits them best.

Given linear distances d_i(a) between pins of the head `mean + sum a_k basis_k` times a size, find the most probable
coefficients a ~ N(0, LOOSE^2) under d_i ~ N(norm_i, sd_i): a small Gauss-Newton problem. Norms are the 3D Facial Norms
means of men and women at 25 (transcribed in the project's clinical notes, mark V), averaged over the sexes; and
stays close to the artists' average, so that no measure is met at the price of a natural face.
"""

import numpy as np

LOOSE, SHARE_SD, LEAST_SD_MM = 0.6, 0.03, 0.8
"""A length may be off by SHARE_SD of itself, the short ones by as much as two landmarks can be placed (E)."""
SIZE_SD_MM = {("p_l", "p_r"): 0.5, ("n", "gn"): 2.0}
"""What gives the head its size is held closer: the pupils' distance, known best (n 3976), and the face's height (E)."""
NORMS_MM = {("n", "gn"): 122.3, ("n", "sn"): 55.6, ("zy_l", "zy_r"): 133.6, ("en_l", "en_r"): 33.5,
            ("ex_l", "ex_r"): 87.3, ("al_l", "al_r"): 34.8, ("sn", "prn"): 20.4, ("n", "prn"): 48.4, ("sn", "ls"): 15.2,
            ("sn", "sto"): 21.4, ("ls", "sto"): 7.5, ("sto", "li"): 8.6, ("ch_l", "ch_r"): 49.0, ("p_l", "p_r"): 63.4}
CONVEXITY_DEG, CONVEXITY_SD_DEG = 167.5, 1.5
"""Angle g-sn-pg' seen from the side (Bergman 2014 in the same notes)."""

MERIDIAN_MM, MERIDIAN_SD_MM = 0.0, 2.0
"""How far pg lies before n along the Frankfort horizontal (Gonzalez-Ulloa in the same notes, mark T)."""

DEPTH_MM = {4: 44.1, 195: 36.0, 197: 31.4, 6: 26.2, 168: 20.6, 9: 22.1, 151: 18.5, 10: 13.1, "sn": 28.9, 0: 28.1,
            17: 23.6, 18: 19.0, "ac_l": 16.8, "ac_r": 16.8, 133: 5.8, 362: 5.8, 61: 11.1,
            291: 11.1, 205: 9.6, 425: 9.6, 50: 3.6, 280: 3.6, 117: -2.0, 346: -2.0}
"""Landmark -> depth before the outer eye corners: MediaPipe's canonical face geometry (Apache-2.0), cm to mm.

Points 2, 129 and 358 of that face lie at the subnasale and at the alar creases; on drawn heads the detector puts them
elsewhere, so those depths are held by the named landmarks. The outline's points slide and are left out; the chin is
held by the convexity and the meridian.
"""
DEPTH_SD_MM = 1.2
OUTER_EYE = ("ex_l", "ex_r")


def depths(points):
    """Depth (mm) of the `DEPTH_MM` landmarks before the outer eye corners, after the nod that fits `DEPTH_MM` best."""
    base = np.mean([points[name] for name in OUTER_EYE], 0)
    y, z = (np.array([points[name] for name in DEPTH_MM]) - base)[:, 1:].T
    target, nod = np.array(list(DEPTH_MM.values())), 0.0
    for _ in range(5):  # Newton; the angle is small
        now, slope = z * np.cos(nod) + y * np.sin(nod), y * np.cos(nod) - z * np.sin(nod)
        nod += slope @ (target - now) / (slope @ slope)
    return z * np.cos(nod) + y * np.sin(nod)


def meridian(points):
    """How far (mm) pg lies before n along the Frankfort horizontal."""
    forward = (points["or_l"] - points["t_l"]) * [0, 1, 1]
    return (points["pg"] - points["n"]) @ forward / np.linalg.norm(forward)


def measures(points):
    """Every normed distance (mm), the facial convexity (deg) and the meridian (mm) of named points."""
    out = [np.linalg.norm(points[a] - points[b]) for a, b in NORMS_MM]
    up, down = points["g"] - points["sn"], points["pg"] - points["sn"]
    cosine = up @ down / np.linalg.norm(up) / np.linalg.norm(down)
    return np.array([*out, np.degrees(np.arccos(cosine)), meridian(points)])


def measured(names, named_mm, points478_mm):
    """Every measure (mm, deg) of the named points and the 478."""
    points = dict(zip(names, named_mm, strict=True)) | dict(enumerate(points478_mm))
    return np.concatenate([measures(points), depths(points)])


def targets():
    """The published value of every measure, and how far off it may be (1 sd)."""
    lengths, depth_sd = np.array(list(NORMS_MM.values())), [DEPTH_SD_MM] * len(DEPTH_MM)
    length_sd = [SIZE_SD_MM.get(pair, max(SHARE_SD * value, LEAST_SD_MM)) for pair, value in NORMS_MM.items()]
    return (np.array([*lengths, CONVEXITY_DEG, MERIDIAN_MM, *DEPTH_MM.values()]),
            np.array([*length_sd, CONVEXITY_SD_DEG, MERIDIAN_SD_MM, *depth_sd]))


def table(before, after):
    """Label -> [before, after, target] of every measure."""
    labels = ["-".join(k) for k in NORMS_MM] + ["g-sn-pg deg", "n-pg meridian"] + [f"depth {k}" for k in DEPTH_MM]
    return {k: [round(float(v), 1) for v in row] for k, *row in zip(labels, before, after, targets()[0], strict=True)}


def centred(mean, basis, names, named, pins478, rounds=4):
    """Coefficients (K,) and size that move the mean head (a mesh) onto the norms."""
    faces = mean.faces
    (base, moves), (base478, moves478) = ((p.on(mean.vertices_mm, faces), np.stack([p.on(b, faces) for b in basis]))
                                          for p in (named, pins478))
    target, sd = targets()

    def at(x):
        return measured(names, *((rest + np.tensordot(x[:-1], by, 1)) * np.exp(x[-1])
                                 for rest, by in ((base, moves), (base478, moves478))))

    x = np.zeros(len(basis) + 1)
    prior = np.concatenate([np.full(len(basis), 1 / LOOSE), [1 / 0.1]])
    for _ in range(rounds):
        now = at(x)
        J = np.stack([(at(x + 1e-3 * e) - now) / 1e-3 for e in np.eye(len(x))], 1) / sd[:, None]
        A = np.vstack([J, np.diag(prior)])
        x = x + np.linalg.lstsq(A, np.concatenate([(target - now) / sd, -prior * x]), rcond=None)[0]
    return x[:-1], float(np.exp(x[-1]))
