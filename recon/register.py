"""Register: the embedded head laid onto another head's skin, so that what is known of the one is known of the other.

Letters: x vertices of the embedded head's skin, S(a) its shape with identity a, (s, R, t) the similarity onto the
target, c the closest target point that faces the same way, n its normal, L the graph's Laplacian, d displacements.

    1. (s, R, t) from the landmarks that are known on the target
    2. a and (s, R, t):  sum w (n . (s R S(a) + t - c))^2 / g^2 + sum |landmark - found|^2 / m^2 + |a|^2
    3. d:  sum w |x + d - c|^2 + sum |P(x + d) - found|^2 / M^2 + k |L d|^2, with k falling
       (Amberg, Romdhani & Vetter, Optimal step nonrigid ICP algorithms for surface registration, 2007)
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu

from core.face_model import FaceModel
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import record
from core.surface import SurfacePoints
from core.transforms import rotation_from_vector, umeyama
from recon.face478 import IRIS_ROWS, topology
from recon.foreign import bare
from recon.graph import laplacian
from recon.nearby import Nearby


@record
class RegisterOptions:
    """rounds: of step 2. gap_mm: g. marks_mm: m. farthest_mm: closest points farther off have no say. stiffness: k of
    the rounds of step 3. held_mm: M. doubt_mm: marks that disagree by more lose their say (Geman-McClure)."""

    rounds: int = 14
    gap_mm: float = 1.0
    marks_mm: float = 4.0
    farthest_mm: float = 15.0
    stiffness: tuple[float, ...] = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 1.0, 1.0)
    held_mm: float = 6.0
    doubt_mm: float = 4.0


DEFAULTS = RegisterOptions()


@record
class Laid:
    """The embedded head on the target: vertices_mm (V,3) in the target's frame (its eyeballs moved by the similarity
    alone), the similarity's scale and rotation, and gap_mm (V,), the distance left to the target's surface."""

    mesh: Mesh
    scale: float
    rotation: Float[np.ndarray, "3 3"]
    gap_mm: Float[np.ndarray, "v"]


def lay_onto(model: FaceModel, target: Mesh, marks_mm: Float[np.ndarray, "478 3"], options: RegisterOptions = DEFAULTS,
             progress: Progress = silent) -> Laid:
    """Lay a head model onto the skin of another head; `marks_mm` are the detector's points on it, NaN where unknown."""
    near, skin = Nearby(target), skin_of(model)
    scale, rotation, translation, identity = shaped(model, near, marks_mm, skin, options, progress)
    own = model.template_mm + np.tensordot(identity, model.identity_basis_mm, 1)
    vertices = scale * own @ rotation.T + translation
    smooth = skin_laplacian(model, skin)
    pins, held, found = marks_on(model, marks_mm)
    rows = pins_matrix(pins, model, skin)[held]
    start = vertices[skin]
    for k, stiffness in enumerate(options.stiffness):
        progress(0.5 + 0.5 * k / len(options.stiffness), "Laying the head on, closer")
        to, trust = pulled(model, near, vertices, skin, options)
        pull = weights(model)[skin] * trust
        hold = rows.T @ diags(believed(rows @ vertices[skin] - found, options) ** 2 / options.held_mm**2)
        normal = diags(pull) + hold @ rows + stiffness * smooth.T @ smooth
        right = pull[:, None] * (to - start) + hold @ (found - rows @ start)
        vertices = vertices.copy()
        vertices[skin] = start + splu((normal + 1e-6 * diags(np.ones(len(skin)))).tocsc()).solve(right)
    points = near.closest(vertices)
    return Laid(mesh=bare(vertices, model.faces), scale=scale, rotation=rotation,
                gap_mm=np.linalg.norm(target.points(points) - vertices, axis=1))


def skin_of(model: FaceModel) -> np.ndarray:
    """Vertices of a model's outer skin: no eyeballs, no linings."""
    a = model.anatomy
    inner = np.max([a.region(name) for name in ("eye_l", "eye_r", "mouth_interior")], axis=0)
    return np.flatnonzero(inner < 0.5)


def weights(model: FaceModel) -> Float[np.ndarray, "v"]:
    """How much a vertex's closeness counts: face and ears fully, the rest of the head less."""
    shaped_parts = np.max([model.anatomy.region(name) for name in ("face", "ear_l", "ear_r")], axis=0)
    return 0.3 + 0.7 * shaped_parts.astype(float)


def marks_on(model: FaceModel, marks_mm: Float[np.ndarray, "478 3"]) -> tuple[
        SurfacePoints, Bool[np.ndarray, "478"], Float[np.ndarray, "n 3"]]:
    """The model's pins, which of them are compared, and where those were found: not the outline, not the irises."""
    held = np.isfinite(marks_mm).all(1)
    held[IRIS_ROWS] = False
    held[topology().outline] = False
    return model.anatomy.pins478, held, marks_mm[held]


def believed(off_mm: Float[np.ndarray, "n 3"], options: RegisterOptions) -> Float[np.ndarray, "n"]:
    """Square root of each mark's weight: 1 where it agrees, falling with its distance (Geman & McClure 1987)."""
    return np.asarray(1 / (1 + (off_mm**2).sum(1) / options.doubt_mm**2))


def pins_matrix(pins: SurfacePoints, model: FaceModel, skin: np.ndarray) -> csr_matrix:
    """The pins as weighted sums of skin vertices (478, S)."""
    new = np.full(len(model.template_mm), -1)
    new[skin] = np.arange(len(skin))
    column = new[model.faces[pins.face]]
    row = np.repeat(np.arange(len(pins)), 3)
    known = column.ravel() >= 0
    return csr_matrix((pins.bary.ravel()[known], (row[known], column.ravel()[known])), (len(pins), len(skin)))


def skin_laplacian(model: FaceModel, skin: np.ndarray) -> csr_matrix:
    """Each skin vertex less the mean of its neighbours (S, S)."""
    new = np.full(len(model.template_mm), -1)
    new[skin] = np.arange(len(skin))
    faces = new[model.faces]
    return laplacian(faces[(faces >= 0).all(1)], len(skin))


def pulled(model: FaceModel, near: Nearby, vertices: Float[np.ndarray, "v 3"], skin: np.ndarray,
           options: RegisterOptions) -> tuple[Float[np.ndarray, "s 3"], Float[np.ndarray, "s"]]:
    """Where each skin vertex should go and how far to trust it: 0 at the target's border, where it is far or turned."""
    normals = bare(vertices, model.faces).vertex_normals()[skin]
    points = near.alike(vertices[skin], normals)
    to = near.mesh.points(points)
    distance = np.linalg.norm(to - vertices[skin], axis=1)
    good = (distance < options.farthest_mm) & ((near.at(points) * normals).sum(1) > 0.3) & ~near.on_border(points)
    return to, good / (1 + (distance / 4) ** 2)


def shaped(model: FaceModel, near: Nearby, marks_mm: Float[np.ndarray, "478 3"], skin: np.ndarray,
           options: RegisterOptions, progress: Progress) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Scale, rotation, translation and identity (steps 1 and 2)."""
    pins, held, found = marks_on(model, marks_mm)
    basis = model.identity_basis_mm.astype(float)
    at_pins = np.stack([pins.on(b, model.faces)[held] for b in basis])
    own, identity = model.template_mm, np.zeros(len(basis))
    scale, rotation, translation = umeyama(pins.on(own, model.faces)[held], found)
    for turn in range(options.rounds):
        progress(0.5 * turn / options.rounds, "Laying the head on")
        own = model.template_mm + np.tensordot(identity, basis, 1)
        here = scale * own @ rotation.T + translation
        to, trust = pulled(model, near, here, skin, options)
        n = near.at(near.closest(to))
        weight = np.sqrt(weights(model)[skin] * trust) / options.gap_mm
        gap = ((here[skin] - to) * n).sum(1) * weight
        turned = n @ rotation
        by_shape = scale * np.einsum("ksc,sc->sk", basis[:, skin], turned, optimize=True)
        by_place = np.column_stack([np.cross(here[skin] - translation, n), n, ((here[skin] - translation) * n).sum(1)])
        off = pins.on(here, model.faces)[held] - found
        doubt = believed(off, options)[:, None, None] / options.marks_mm
        off = off * doubt[:, 0]
        arm = pins.on(here, model.faces)[held] - translation
        mark_place = np.concatenate([np.stack([np.cross(axis, arm) for axis in np.eye(3)], 2),
                                     np.tile(np.eye(3), (len(arm), 1, 1)), arm[:, :, None]], 2) * doubt
        mark_shape = scale * np.einsum("knc,dc->ndk", at_pins, rotation) * doubt
        J = np.concatenate([np.column_stack([by_shape, by_place]) * weight[:, None],
                            np.concatenate([mark_shape, mark_place], 2).reshape(-1, len(basis) + 7)])
        r = np.concatenate([gap, off.ravel()])
        prior = np.concatenate([np.ones(len(basis)), np.full(7, 1e-9)])
        right = J.T @ r + prior * np.concatenate([identity, np.zeros(7)])
        step = -np.linalg.solve(J.T @ J + np.diag(prior), right)
        identity = identity + step[:len(basis)]
        move = step[len(basis):]
        rotation = rotation_from_vector(move[:3]) @ rotation
        translation = translation + move[3:6]
        scale *= float(np.exp(move[6]))
    return scale, rotation, translation, identity
