"""Small heads for tests: closed meshes of known shape, with the anatomy and cameras that the records ask for."""

import numpy as np

from core.anatomy import Anatomy
from core.camera import Camera
from core.face_model import FaceModel
from core.landmarks import MEDIAPIPE478, Landmarks3D
from core.mesh import Mesh
from core.prediction import Coupled, Landed, Prediction
from core.reconstruction import Reconstruction, Scale, View
from core.surface import SurfacePoints
from core.texture import Texture
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid


def cube(side_mm: float = 2.0) -> Mesh:
    """Twelve triangles, outward, corners at plus and minus half a side; every face carries the whole picture."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * side_mm / 2
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    uv = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    return Mesh(vertices_mm=corners, faces=faces, uv=uv, faces_uv=np.repeat([[0, 1, 2], [0, 2, 3]], 6, axis=0))


def sphere(radius_mm: float = 90.0, rings: int = 24, sectors: int = 48) -> Mesh:
    """A closed globe with poles on the y axis; the texture is its equirectangular map, with a seam at the back."""
    polar, turn = np.meshgrid(np.linspace(0, np.pi, rings + 1), np.linspace(-np.pi, np.pi, sectors + 1), indexing="ij")
    grid = np.stack([np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], -1)
    number = np.arange(1, (rings - 1) * sectors + 1).reshape(rings - 1, sectors)
    number = np.vstack([np.zeros((1, sectors), int), number, np.full((1, sectors), number.max() + 1)])
    number = np.hstack([number, number[:, :1]])
    vertices = np.zeros((number.max() + 1, 3))
    vertices[number.ravel()] = grid.reshape(-1, 3)
    corner = np.arange((rings + 1) * (sectors + 1)).reshape(rings + 1, sectors + 1)
    a, b, c, d = (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:])
    faces_uv = np.concatenate([np.stack([a, b, c], -1)[:-1].reshape(-1, 3), np.stack([a, c, d], -1)[1:].reshape(-1, 3)])
    uv = np.stack([turn / (2 * np.pi) + 0.5, polar / np.pi], -1).reshape(-1, 2)
    return Mesh(vertices_mm=vertices * radius_mm, faces=number.ravel()[faces_uv], uv=uv, faces_uv=faces_uv)


def pins(rng: np.random.Generator, mesh: Mesh, count: int) -> SurfacePoints:
    """Random points on a mesh."""
    return SurfacePoints(face=rng.integers(len(mesh.faces), size=count), bary=rng.dirichlet([1, 1, 1], count))


def camera(yaw_rad: float = 0.3, size_wh: tuple[int, int] = (640, 480), distortion: np.ndarray | None = None) -> Camera:
    """A camera half a metre away from a head that is turned and slightly tilted."""
    rotation = OPENCV_FROM_HEAD @ head_rotation(yaw_rad, 0.1, -0.05)
    k_px = np.array([[700.0, 0, size_wh[0] / 2 - 3], [0, 690.0, size_wh[1] / 2 + 5], [0, 0, 1]])
    return Camera(K_px=k_px, cam_from_head=rigid(rotation, np.array([10.0, -20.0, 500.0])), size_wh=size_wh,
                  distortion=np.zeros(5) if distortion is None else distortion)


def texture(rng: np.random.Generator, height: int = 24, width: int = 32) -> Texture:
    """A picture of noise, partly seen."""
    return Texture(rgb=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
                   seen=rng.choice(np.array([0, 255], np.uint8), (height, width)))


def reconstruction(rng: np.random.Generator) -> Reconstruction:
    """A globe that carries everything a head carries."""
    mesh = sphere()
    count = len(mesh.vertices_mm)
    anatomy = Anatomy(pins478=pins(rng, mesh, 478), pin_names=("prn", "al_l", "al_r"), pin_points=pins(rng, mesh, 3),
                      region_names=("nose", "lips"), region_weights=rng.random((2, count)).astype(np.float32))
    views = tuple(View(camera=camera(yaw, distortion=rng.normal(0, 0.01, 5)), path=f"capture/{i:03d}.jpg",
                       source=f"frame {i}", reprojection_px=float(rng.random()),
                       centre95_mm=float(rng.random()) if i else None)
                  for i, yaw in enumerate((-0.4, 0.0, 0.4)))
    landmarks = Landmarks3D(scheme=MEDIAPIPE478, points=mesh.points(anatomy.pins478), confidence=rng.random(478))
    skin = texture(rng)
    return Reconstruction(
        mesh=mesh, texture=skin, delit=Texture(rgb=255 - skin.rgb, seen=skin.seen),
        anatomy=anatomy, views=views, landmarks=landmarks, model="globe",
        identity=rng.normal(size=7), expression=rng.random(5),
        scale=Scale(mm_per_unit=1 / 3, source="iris", sd_relative=0.0437), uncertainty_mm=rng.random(count),
        seen=rng.random(count),
        report={"stages": [{"name": "fit", "seconds": 0.1}], "note": "na\u00efve"})


def face_model() -> FaceModel:
    """A globe with two identity modes and one expression."""
    rng = np.random.default_rng(15)
    mesh = sphere(90, 6, 8)
    count = len(mesh.vertices_mm)
    anatomy = Anatomy(pins478=pins(rng, mesh, 478), pin_names=("prn",), pin_points=pins(rng, mesh, 1),
                      region_names=("face",), region_weights=np.ones((1, count)))
    return FaceModel(
        name="globe", template_mm=mesh.vertices_mm, faces=mesh.faces, uv=mesh.uv, faces_uv=mesh.faces_uv,
        identity_basis_mm=rng.normal(size=(2, count, 3)), expression_names=("smile",),
        expression_basis_mm=rng.normal(size=(1, count, 3)), joint_names=("eye_l",), joints_mm=np.zeros((1, 3)),
        anatomy=anatomy, view_yaw_rad=np.zeros(1), view_offset_mm=np.zeros((1, 478, 3)),
        view_sd_mm=np.ones((1, 478)))


def prediction(rng: np.random.Generator, head: Reconstruction) -> Prediction:
    """Two steps of a nose operation with numbers that no decimal writes exactly."""
    vertices = len(head.mesh.vertices_mm)

    def single(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32).astype(float)

    return Prediction(
        plan={"id": "nose", "procedures": [{"procedure": "rhinoplasty", "intensity": 55.0}]},
        step_names=("rhinoplasty.hump", "rhinoplasty.tip"), step_labels=("Dorsal hump", "Tip rotation"),
        step_values=(1 / 3, -2.1), step_units=("mm", "deg"),
        displacement_mm=rng.normal(size=(2, vertices, 3)), low_mm=single(2, vertices, 3),
        high_mm=single(2, vertices, 3),
        couplings=(Coupled(step="rhinoplasty.tip", label="upper lip", mean_mm=0.4, low_mm=0.1, high_mm=2 / 3, mark="M",
                           source="[NLA-ULL]"),),
        swelling_names=("rhinoplasty",), swelling_mm=single(1, vertices, 3), swelling_months=(1 / 3, 12.0),
        swelling_percent=np.array([[90.0, 2.5]]), min_dihedral_deg=91.0,
        landed=(Landed(step="rhinoplasty.hump", pin="rhi", asked_mm=(0.0, 0.0, -1 / 3), landed_mm=(0.0, 1e-17, -0.3)),),
        volume_added_ml=0.1, volume_removed_ml=2 / 3, warnings=("thick skin",), versions={"previsage": "0.1.0"})
