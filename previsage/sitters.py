"""Sitters: training pairs from 3D. Random heads of the embedded model with made-up skin, under random light, operated
on by a random plan and seen by a random camera.

Pair n of a seed is the same wherever and whenever it is made. One sitter gives `PAIRS_EACH` pairs.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from core.camera import Camera
from core.errors import InputRefused
from core.mesh import Mesh
from core.plan import Plan, PlannedProcedure
from core.records import record
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid
from deform3d import catalogue, predict
from recon.models import load_model
from render.complexion import complexion
from render.conditions import control_picture
from render.film import FilmedSkin
from render.masks import surgical_mask
from render.mipmap import Mipmap
from render.picture import as_bytes, smooth
from render.rasterize import Rasterizer
from render.room import Lamp, Lighting, wall
from render.wireframe import pinned, project_landmarks
from synth.diffusion.crop import crop_around, face_side_px
from synth.diffusion.prompts import prompt_for
from synth.training import Pair

PAIRS_EACH = 8
"""Of one sitter, in other views and after other operations."""
MODES, MODES_SD = 60, 0.7
TEXTURE_SIDE = 768
YAW_DEG, PITCH_DEG, ROLL_DEG = 70.0, 18.0, 10.0
DISTANCE_MM = (450.0, 1500.0)
INTENSITY = (20.0, 100.0)
LOOK_AT_MM = np.array([0.0, -35.0, -20.0])
"""The middle of the face."""
MOST_LIGHT = 1.15
"""On skin that faces every lamp: more would burn light skin out."""
LEAST_SHARE = 0.002
"""A mask smaller than this share of the picture shows nothing to learn: another view is drawn."""
TRIES = 12


@record
class Sitter:
    """A random person: mesh, skin, and what they are."""

    mesh: Mesh
    mipmap: Mipmap
    facts: dict[str, Any]


@lru_cache(maxsize=2)
def sitter(seed: int, number: int) -> Sitter:
    """A random head of the embedded model with a made-up skin."""
    model = load_model()
    rng = np.random.default_rng([seed, 21, number])
    identity = np.zeros(len(model.identity_basis_mm))
    identity[:MODES] = rng.normal(0, MODES_SD, min(MODES, len(identity)))
    mesh = model.shape(identity).pose(np.zeros(len(model.expression_names))).mesh()
    skin, facts = complexion(mesh, model.anatomy, int(rng.integers(2**31)), TEXTURE_SIDE)
    return Sitter(mesh=mesh, mipmap=Mipmap(skin), facts=facts)


@record
class SittersPairs:
    """Makes pair n from 3D. size_px: the pictures' side; procedures: those to choose from, all where empty."""

    seed: int
    size_px: int = 512
    procedures: tuple[str, ...] = ()

    def __call__(self, number: int) -> Pair:
        """The pair. InputRefused: no view of this plan shows anything (never seen)."""
        model, person = load_model(), sitter(self.seed, number // PAIRS_EACH)
        rng = np.random.default_rng([self.seed, 22, number])
        plan, moved_mm = random_plan(person.mesh, rng, self.procedures or tuple(sorted(catalogue())))
        before, after = Rasterizer(person.mesh), Rasterizer(person.mesh.moved(moved_mm))
        for _ in range(TRIES):
            camera, angles = random_camera(rng, self.size_px)
            seen, then = before(camera), after(camera)
            whole = surgical_mask(seen, then, person.mesh, moved_mm, camera)
            if whole.mean() < LEAST_SHARE:
                continue
            near = crop_around(whole, self.size_px, face_side_px(camera)).camera(camera)
            mask = surgical_mask(before(near), after(near), person.mesh, moved_mm, near)
            light, ground = random_light(rng), wall(near.size_wh, rng)
            pictures = [shot(r, near, person.mipmap, ground, light, rng) for r in (before, after)]
            marks = project_landmarks(pinned(after.mesh, model.anatomy.pins478), near, after)
            facts = {**person.facts, "procedures": [p.procedure for p in plan.procedures],
                     "intensity": [p.intensity for p in plan.procedures], "yaw_deg": angles[0], "kind": "3d",
                     "most_mm": float(np.linalg.norm(moved_mm, axis=1).max()), "sitter": number // PAIRS_EACH}
            where = mask[..., None]  # outside the mask nothing differs, not even by a rounded shade
            target = np.where(where > 0, pictures[1], pictures[0])
            return Pair(before=pictures[0], after=target, control=control_picture(marks, near.size_wh), mask=mask,
                        landmarks_px=marks.points.astype(np.float32), facts=facts,
                        prompt=prompt_for([p.procedure for p in plan.procedures]))
        raise InputRefused("no_view", f"Pair {number}: no view shows the plan.", "Choose other procedures.")


def random_plan(mesh: Mesh, rng: np.random.Generator, names: Sequence[str]) -> tuple[Plan, Float[np.ndarray, "v 3"]]:
    """One operation, or two of different places, and where it moves the skin (mm)."""
    chosen = rng.choice(names, size=min(1 + int(rng.random() < 0.25), len(names)), replace=False)
    plan = Plan(procedures=[PlannedProcedure(procedure=str(name), intensity=float(rng.uniform(*INTENSITY)))
                            for name in chosen])
    return plan, predict(mesh, load_model().anatomy, plan, catalogue()).total_mm()


def random_camera(rng: np.random.Generator, size_px: int) -> tuple[Camera, tuple[float, float, float]]:
    """A camera that sees the whole face; its angles in degrees. Views near the front are likelier."""
    yaw, pitch, roll = (float(np.clip(rng.normal(0, most / 2), -most, most)) for most in (YAW_DEG, PITCH_DEG, ROLL_DEG))
    distance = float(rng.uniform(*DISTANCE_MM))
    turned = OPENCV_FROM_HEAD @ head_rotation(*(float(np.radians(a)) for a in (yaw, pitch, roll)))
    focal = size_px * distance / float(rng.uniform(240, 330))  # so many mm of the face's plane across
    middle = (size_px - 1) / 2
    aim = np.array([*rng.normal(0, 8, 2), distance])
    camera = Camera(K_px=np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1.0]]),
                    cam_from_head=rigid(turned, aim - turned @ LOOK_AT_MM), size_wh=(size_px, size_px))
    return camera, (yaw, pitch, roll)


def random_light(rng: np.random.Generator) -> Lighting:
    """One to three lamps in front, warm or cool, hard or soft."""
    ambient, count, lamps = float(rng.uniform(0.25, 0.6)), int(rng.integers(1, 4)), []
    for share in rng.dirichlet(np.ones(count)) * float(rng.uniform(0.8, MOST_LIGHT) - ambient):
        towards = (float(rng.uniform(-1, 1)), float(rng.uniform(-1, 0.2)), -float(rng.uniform(0.3, 1)))
        warm, strength = float(rng.uniform(-0.15, 0.15)), float(share)
        lamps.append(Lamp(towards=towards, color=(strength * (1 + warm), strength, strength * (1 - warm))))
    return Lighting(lamps=tuple(lamps), ambient=ambient, gloss=float(rng.uniform(0.0, 0.12)))


def shot(rasterizer: Rasterizer, camera: Camera, mipmap: Mipmap, ground: Float[np.ndarray, "h w 3"], light: Lighting,
         rng: np.random.Generator) -> np.ndarray:
    """A picture, without sensor noise: before and after must differ by the operation alone."""
    skin = FilmedSkin(rasterizer.surface, camera, mipmap, ground, light)
    return as_bytes(smooth(rasterizer, camera, skin, rasterizer(camera), 5))
