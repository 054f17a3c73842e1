"""Photo's light: the light of one photo, as `texture` finds it, but asked for only where it is told.

`texture.looked_at` lays the photo on the whole layout, from which skin can then be drawn. The light is told by one
texel in fifty of it; these, and the texels at the mesh's vertices, are all that is looked at here: a layout of one row.
"""

import dataclasses
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Bool, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from recon.blend import survey
from recon.layout import Layout, layout, of_sides, on_texels, uv_texels
from recon.light import Light, fit_light
from recon.sight import look, zones
from recon.texture import LIGHT_TEXELS, LIGHT_TRUST, TextureOptions, evened, samples_at


class Asked(NamedTuple):
    """A row of texels: first `thin` of those that tell the light, then those at the texture coordinates."""

    flat: Layout
    thin: int


_asked: "WeakKeyDictionary[Layout, Asked]" = WeakKeyDictionary()


def light_of(mesh: Mesh, camera: Camera, picture: UInt8[np.ndarray, "h w 3"], person: Bool[np.ndarray, "h w"],
             rasterize: Rasterize, options: TextureOptions, anatomy: Anatomy) -> Light:
    """The light of `texture.looked_at` of one picture. person: who is seen in it, roughly."""
    normals, zone = mesh.vertex_normals(), zones(mesh, anatomy)
    flat, thin = asked(mesh, max(options.side // options.coarse, 1))
    sight = look(mesh, normals, zone, camera, picture, person, rasterize, options.sight)
    seen = survey(mesh, normals, flat, [sight], np.ones(1))
    trust = np.minimum(seen.weight[0, 0, thin:] / LIGHT_TRUST, 1)
    mean = evened(mesh, normals, of_sides(trust[:, None], mesh)[:, 0])
    on_skin = on_texels(np.column_stack([mean, zone.bare]), mesh, flat)
    some = np.zeros(flat.face.shape, bool)
    some[:, :thin] = True
    seen = dataclasses.replace(seen, normals=on_skin[..., :3])
    return fit_light(samples_at(some, seen, on_skin[..., 3], [camera]), 0)


def asked(mesh: Mesh, side: int) -> Asked:
    """Worked out once per topology."""
    whole = layout(mesh, side)
    if whole not in _asked:
        told = np.zeros(whole.face.shape, bool)
        told[::LIGHT_TEXELS, ::LIGHT_TEXELS] = True
        rows, columns = np.nonzero(told & whole.inside)
        at_rows, at_columns = uv_texels(mesh, side)
        place = np.append(rows, at_rows), np.append(columns, at_columns)
        _asked[whole] = Asked(Layout(whole.face[place][None], whole.bary[place][None]), len(rows))
    return _asked[whole]
