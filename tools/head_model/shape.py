"""Landmarks found in the shape itself, by looking at it along straight lines: the profile, the nose's wing, the lids,
the ear's notch, the cheekbone and the angle of the jaw. Paired ones on the patient's left; the right mirrors it.

E marks an assumption. Lengths are millimetres, axes the head frame's (x the patient's left, y up, z forward).
"""

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from tools.head_model.surface import Sight

UNDERSIDE_RAD = np.radians(60)
"""The chin ends (me) where the profile runs backward this much more than straight down (E)."""
NOTCH_MM = 0.6
"""The hollow of the ear begins where the side of the head, followed backward, has fallen by this much (E)."""


def even(points, step=0.1):
    """A polyline resampled evenly along its length, and its tangents, both smoothed over about a millimetre."""
    points = points[np.isfinite(points).all(1)]
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.arange(0, along[-1], step)
    line = np.column_stack([np.interp(at, along, column) for column in points.T])
    tangent = np.gradient(gaussian_filter1d(line, 0.8 / step, axis=0, mode="nearest"), axis=0)
    return line, tangent / np.linalg.norm(tangent, axis=1, keepdims=True)


def wing_outline(sight: Sight, y, tip_z):
    """The nose's horizontal outline (x, z) at one height, from the midline round the left wing onto the cheek."""
    cheek = sight.front([26.0], [y])[0][0, 2]
    within = cheek + 0.2 * (tip_z - cheek)  # seen from here nothing hides anything, not even behind the wing
    angle = np.radians(np.arange(0, 110, 0.25))
    ray = np.column_stack([np.sin(angle), np.zeros(len(angle)), np.cos(angle)])
    points = sight.cast(np.array([0, y, within]) + 60 * ray, -ray)[0][:, [0, 2]]
    return even(points[points[:, 0] < 26])


def wing_and_crease(sight: Sight, y, tip_z):
    """Alare and alar crease at one height: where the wall faces most sideways, and the hollow between it and the cheek.

    On a wing that overhangs its crease the first is the outline's widest place. Returns both as (x, y, z), and how far
    sideways the wall faces (1 = straight to the side).
    """
    line, tangent = wing_outline(sight, y, tip_z)
    heading = np.unwrap(np.arctan2(-tangent[:, 1], tangent[:, 0]))  # 0 to the left, a right angle straight back
    bend = gaussian_filter1d(np.gradient(heading), 8)
    crease = np.argmin(bend)
    wall = np.argmax(np.sin(heading[:crease])) if crease else 0
    at = lambda row: np.array([line[row, 0], y, line[row, 1]])  # noqa: E731
    return at(wall), at(crease), np.sin(heading[wall])


def wing(sight: Sight, prn, sn):
    """al and ac: at the height between tip and lip where the wall stands farthest out."""
    heights = np.linspace(prn[1] + 0.1 * (sn[1] - prn[1]), prn[1] + 0.65 * (sn[1] - prn[1]), 23)
    found = [wing_and_crease(sight, y, prn[2]) for y in heights]
    found = [f for f in found if f[2] > 0.9]
    al, ac, _ = max(found, key=lambda f: f[0][0])
    return {"al": al, "ac": ac}


def base_of_wing(sight: Sight, al, prn, ls):
    """sbal: the lowest point of the furrow in which the wing's base ends on the upper lip."""
    corners = []
    y = np.arange(prn[1], ls[1], -0.1)
    for x in np.arange(0.6 * al[0], 0.97 * al[0], 0.25):
        line = sight.front(x, y)[0]
        line = line[np.isfinite(line[:, 2])]
        line = line[np.argmax(line[:, 2]):]
        corners.append(line[np.argmax(depth_below_chord(line[:, 1], line[:, 2]))])
    return {"sbal": min(corners, key=lambda p: p[1])}


def depth_below_chord(y, z):
    """How far each profile point lies behind the straight line between the first and the last (mm)."""
    a, b = np.array([y[0], z[0]]), np.array([y[-1], z[-1]])
    along = (b - a) / np.linalg.norm(b - a)
    offset = np.column_stack([y, z]) - a
    return offset[:, 1] * along[0] * np.sign(along[0]) * -1 - offset[:, 0] * along[1] * np.sign(along[0]) * -1


def lids(sight: Sight, is_eyeball, pupil):
    """ps, pi: the lids' margins above and below the pupil; ex: where they meet at the side. Seen from in front.

    is_eyeball: (F,) bool. The skin is taken a third of a millimetre beyond the last of the eyeball that is seen.
    """
    step = 0.1
    x, y = pupil[0] + np.arange(-20, 22, step), pupil[1] + np.arange(-9, 9, step)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    face = sight.front(grid[:, 0], grid[:, 1])[1]
    seen = (is_eyeball[face] & (face >= 0)).reshape(len(x), len(y))
    column = np.flatnonzero(seen[np.argmin(np.abs(x - pupil[0]))])
    outer = np.flatnonzero(seen.any(1))[-1]
    place = {"ps": (pupil[0], y[column[-1]] + 0.3), "pi": (pupil[0], y[column[0]] - 0.3),
             "ex": (x[outer] + 0.3, y[np.flatnonzero(seen[outer])].mean())}
    return {name: sight.front([u], [v])[0][0] for name, (u, v) in place.items()}


def tragion(sight: Sight, middle):
    """t: the notch above the tragus, where the hollow of the ear reaches farthest forward. `middle`: (y, z) of it."""
    y, z = middle[0] + np.arange(-12, 15, 0.25), middle[1] + np.arange(25, -14, -0.2)
    reach = gaussian_filter(sight.left(*np.meshgrid(y, z, indexing="ij")), 1.5)
    pit = np.unravel_index(np.argmin(np.where(np.abs(z - middle[1]) < 9, reach, np.inf)), reach.shape)[0]
    fallen = np.maximum.accumulate(reach, 1) - reach > NOTCH_MM
    begins = np.where(fallen.any(1), np.argmax(fallen, 1), len(z))
    above = (y > y[pit] + 2) & (y < y[pit] + 12)
    row = np.argmin(np.where(above, begins, len(z)))
    edge = np.argmax(reach[row, :begins[row] + 1])
    return {"t": np.array([reach[row, edge], y[row], z[edge]])}


def cheekbone(sight: Sight, t):
    """zy: the widest place of the zygomatic arch, which runs forward from the tragion, 28 mm and more before it (E)."""
    y, z = np.meshgrid(t[1] + np.arange(-12, 4, 0.5), t[2] + np.arange(28, 50, 0.5), indexing="ij")
    x = gaussian_filter(sight.left(y, z), 4)
    at = np.unravel_index(np.argmax(x), x.shape)
    return {"zy": np.array([x[at], y[at], z[at]])}


def jaw_angle(sight: Sight, t, ch):
    """go: the hindmost and lowest place where the jaw's side still stands out half as much as it does at most.

    Standing out: beyond the mean of the surroundings, 12 mm about. Back and down count as the outward bisector of a jaw
    angle of 120 degrees does (E).
    """
    y, z = np.meshgrid(np.arange(ch[1] - 55, ch[1] + 40, 1.0), np.arange(t[2] - 15, t[2] + 90, 1.0), indexing="ij")
    x = sight.left(y, z)
    known = np.isfinite(x)
    blurred = lambda sd: gaussian_filter(np.where(known, x, 0), sd) / np.maximum(  # noqa: E731
        gaussian_filter(known.astype(float), sd), 1e-9)
    jaw = known & (y < ch[1] + 10) & (y > ch[1] - 35) & (z > t[2] + 10) & (z < t[2] + 80)
    out = np.where(jaw, blurred(3) - blurred(12), 0)
    at = np.unravel_index(np.argmin(np.where(out > 0.5 * out.max(), 0.6 * y + 0.8 * z, np.inf)), x.shape)
    return {"go": np.array([x[at], y[at], z[at]])}


def midline(sight: Sight, pin):
    """Names -> (x=0, y, z) of the mid-sagittal landmarks. `pin(i)` is the position of MediaPipe point i."""
    y, z = sight.profile(pin(10)[1] + 10, pin(152)[1] - 25)
    rows = turning_points(y, z, pin)
    rows |= points_between(y, z, rows) | {"tr": row_at(y, pin(10)[1])}
    return {name: np.array([0, y[row], z[row]]) for name, row in rows.items()}


def turning_points(y, z, pin):
    """Names -> rows of a profile (y, z) where it comes forward most, lies deepest or turns."""
    between = lambda high, low: np.flatnonzero((y <= high) & (y >= low))  # noqa: E731
    far = lambda rows, sign: rows[np.argmax(sign * z[rows])]  # noqa: E731
    eye_line = (pin(133)[1] + pin(362)[1]) / 2
    pg = far(between(pin(18)[1] - 6, pin(152)[1] + 2), 1)
    return {"g": far(between(pin(9)[1] + 14, pin(9)[1] - 6), 1), "se": far(between(eye_line + 18, eye_line - 8), -1),
            "prn": far(between(pin(168)[1], pin(2)[1]), 1), "sn": corner(y, z, between(pin(4)[1], pin(0)[1])),
            "sto": far(between(pin(0)[1], pin(17)[1]), -1), "sl": far(between(pin(17)[1], y[pg]), -1),
            "pg": pg, "me": pg + underside(y[pg:], z[pg:])}


def corner(y, z, rows):
    """The row deepest below the chord over `rows`; of a corner with two edges the middle."""
    below = depth_below_chord(y[rows], z[rows])
    return int(np.mean(rows[below > 0.9 * below.max()]))


def underside(y, z):
    """The first row from which a profile runs backward rather than down."""
    return int(np.argmax(np.gradient(gaussian_filter1d(z, 4)) / np.gradient(y) > np.tan(UNDERSIDE_RAD)))


def points_between(y, z, rows):
    """Names -> rows at a share of the way between two others (E).

    c lies between the front ends of the nostrils; gn is Farkas's, the lowest point of the chin: all but me.
    """
    share = lambda a, b, part: row_at(y, y[rows[a]] + part * (y[rows[b]] - y[rows[a]]))  # noqa: E731
    along = np.cumsum(np.hypot(np.gradient(y), np.gradient(z)))[rows["prn"]:rows["sn"] + 1]
    return {"n": row_at(y, y[rows["se"]] + 3), "rhi": share("se", "prn", 0.45), "supratip": share("se", "prn", 0.78),
            "c": rows["prn"] + row_at(along, 0.35 * along[0] + 0.65 * along[-1]), "gn": share("pg", "me", 0.9)}


def row_at(values, value):
    """The row nearest to a value."""
    return int(np.argmin(np.abs(values - value)))
