"""GLB: a textured head in metres with one morph target per step of a plan, for any viewer of glTF 2.0.

The head frame's axes are glTF's own (x the patient's left, y up, z out of the face), so only the unit changes.

Vertex order. glTF wants one texture coordinate per vertex, so a vertex on a texture seam is written once per side:
vertex n of the file is the n-th of the (vertex, texture coordinate) pairs that the faces use, sorted by vertex, then by
texture coordinate (`split_seams`). Vertices without a face are left out. The order depends on the topology alone, so
it is the same in every file of one head model.

Morph targets hold positions only, as sparse accessors: a vertex that a step moves by less than
`STILL_MM` is not listed.

Values per vertex (`_UNCERTAINTY_MM`, `_SEEN`) are attributes of the application's own, whose names glTF wants to begin
with an underscore; other viewers pass them over.
"""

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from core.files import write_bytes
from core.mesh import Mesh
from core.texture import Texture

BUDGET_BYTES = 4_000_000
"""Size of a whole file after gzip, so that a phone opens it in seconds."""
SIDE_PX = 2048
QUALITIES = (88, 80, 70, 60)
STILL_MM = 1e-4
"""A tenth of a micrometre: far below any measure here, and it keeps the tails of smooth fields out of the file."""
GENERATOR = "Previsage"
NOTHING: Mapping[str, Any] = MappingProxyType({})

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
UINT16, UINT32, FLOAT32 = 5123, 5125, 5126
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071


def write_glb(
    path: Path, mesh: Mesh, texture: Texture, morphs: Sequence[tuple[str, Float[np.ndarray, "v 3"]]],
    values: Mapping[str, Float[np.ndarray, "v"]] = NOTHING, extras: Mapping[str, float] = NOTHING,
) -> None:
    """Write `mesh` in metres; each morph is a name and a displacement (V,3) in mm at weight 1. All weights start at 0.

    values: one number per vertex, by an attribute's name. extras: what else is said of the mesh.

    The picture is scaled down to 2048 px and its JPEG quality lowered until the file fits `BUDGET_BYTES` after gzip.
    ValueError: no face, a morph or values of another topology, a name without its underscore.
    """
    if not len(mesh.faces):
        raise ValueError("a GLB needs at least one triangle")
    if any(displacement.shape != mesh.vertices_mm.shape for _, displacement in morphs):
        raise ValueError("a morph must displace every vertex of the mesh")
    if any(len(v) != len(mesh.vertices_mm) or not name.startswith("_") for name, v in values.items()):
        raise ValueError("values need one number per vertex and a name that begins with an underscore")
    document, binary = geometry(mesh, morphs)
    add_values(document, binary, mesh, values, extras)
    spent = len(gzip.compress(json.dumps(document).encode() + bytes(binary), 6))
    add_texture(document, binary, jpeg(texture.rgb, BUDGET_BYTES - spent))
    write_bytes(path, container(document, binary))


def split_seams(mesh: Mesh) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"], Int[np.ndarray, "f 3"]]:
    """Vertex and texture coordinate of every vertex of the file, and the faces that name them."""
    pairs = mesh.faces.astype(np.int64) * len(mesh.uv) + mesh.faces_uv
    unique, faces = np.unique(pairs, return_inverse=True)
    return unique // len(mesh.uv), unique % len(mesh.uv), faces.reshape(-1, 3)


def geometry(mesh: Mesh, morphs: Sequence[tuple[str, Float[np.ndarray, "v 3"]]]) -> tuple[dict, bytearray]:
    """The glTF document and its binary part, without the picture."""
    vertex, uv, faces = split_seams(mesh)
    normals = mesh.vertex_normals()
    normals[~normals.any(1)] = (0, 0, 1)  # only a vertex of a degenerate face; glTF wants unit length everywhere
    document: dict = {"asset": {"version": "2.0", "generator": GENERATOR,
                                "extras": {"units": "m", "generator": GENERATOR}},
                      "accessors": [], "bufferViews": [], "buffers": [{"byteLength": 0}]}
    binary = bytearray()
    primitive: dict = {
        "mode": 4, "material": 0,
        "attributes": {"POSITION": add_vectors(document, binary, mesh.vertices_mm[vertex] / 1000, bounds=True),
                       "NORMAL": add_vectors(document, binary, normals[vertex]),
                       "TEXCOORD_0": add_vectors(document, binary, mesh.uv[uv])},
        "indices": add_indices(document, binary, faces, len(vertex))}
    head: dict = {"name": "head", "primitives": [primitive]}
    if morphs:
        primitive["targets"] = [{"POSITION": add_sparse(document, binary, moved_mm[vertex])} for _, moved_mm in morphs]
        head |= {"weights": [0.0] * len(morphs), "extras": {"targetNames": [name for name, _ in morphs]}}
    document |= {"meshes": [head], "nodes": [{"mesh": 0, "name": "head"}], "scenes": [{"nodes": [0]}], "scene": 0}
    return document, binary


def add_values(document: dict, binary: bytearray, mesh: Mesh, values: Mapping[str, Float[np.ndarray, "v"]],
               extras: Mapping[str, float]) -> None:
    """Attributes of one float per vertex, and what is said of the mesh."""
    (head,), vertex = document["meshes"], split_seams(mesh)[0]
    for name, of_vertex in values.items():
        view = add_view(document, binary, of_vertex[vertex].astype("<f4").tobytes(), ARRAY_BUFFER)
        head["primitives"][0]["attributes"][name] = add_accessor(
            document, bufferView=view, componentType=FLOAT32, count=len(vertex), type="SCALAR")
    if extras:
        head["extras"] = {**head.get("extras", {}), **extras}


def add_view(document: dict, binary: bytearray, content: bytes, target: int | None = None) -> int:
    """Append bytes (aligned to four) as a buffer view; its number."""
    binary += b"\0" * (-len(binary) % 4)
    view = {"buffer": 0, "byteOffset": len(binary), "byteLength": len(content)}
    document["bufferViews"].append(view | ({"target": target} if target else {}))
    binary += content
    return len(document["bufferViews"]) - 1


def add_accessor(document: dict, **fields: object) -> int:
    """Append an accessor; its number."""
    document["accessors"].append(fields)
    return len(document["accessors"]) - 1


def add_vectors(document: dict, binary: bytearray, values: Float[np.ndarray, "n c"], bounds: bool = False) -> int:
    """An accessor of float32 vectors."""
    values = values.astype("<f4")
    view = add_view(document, binary, values.tobytes(), ARRAY_BUFFER)
    limits = {"min": values.min(0).tolist(), "max": values.max(0).tolist()} if bounds else {}
    return add_accessor(document, bufferView=view, componentType=FLOAT32, count=len(values),
                        type=f"VEC{values.shape[1]}", **limits)


def index_type(count: int) -> tuple[int, str]:
    """The smallest index type for `count` vertices (65 535 is glTF's restart mark), for glTF and for numpy."""
    return (UINT16, "<u2") if count < 65535 else (UINT32, "<u4")


def add_indices(document: dict, binary: bytearray, faces: Int[np.ndarray, "f 3"], count: int) -> int:
    """The accessor of the triangles."""
    component, dtype = index_type(count)
    view = add_view(document, binary, faces.astype(dtype).tobytes(), ELEMENT_ARRAY_BUFFER)
    return add_accessor(document, bufferView=view, componentType=component, count=faces.size, type="SCALAR")


def add_sparse(document: dict, binary: bytearray, moved_mm: Float[np.ndarray, "n 3"]) -> int:
    """A sparse accessor of displacements in metres. A morph that moves nothing lists one vertex: glTF wants one."""
    rows = np.flatnonzero(np.abs(moved_mm).max(1) > STILL_MM)
    rows = rows if len(rows) else np.zeros(1, np.int64)
    values = np.where(np.abs(moved_mm[rows]).max(1, keepdims=True) > STILL_MM, moved_mm[rows] / 1000, 0).astype("<f4")
    everything = values if len(rows) == len(moved_mm) else np.vstack([values, np.zeros((1, 3), "<f4")])
    component, dtype = index_type(len(moved_mm))
    sparse = {"count": len(rows),
              "indices": {"bufferView": add_view(document, binary, rows.astype(dtype).tobytes()),
                          "componentType": component},
              "values": {"bufferView": add_view(document, binary, values.tobytes())}}
    return add_accessor(document, componentType=FLOAT32, count=len(moved_mm), type="VEC3", sparse=sparse,
                        min=everything.min(0).tolist(), max=everything.max(0).tolist())


def jpeg(rgb: UInt8[np.ndarray, "h w 3"], room_bytes: int) -> bytes:
    """The picture as a JPEG (4:4:4), as large and fine as fits; smaller pictures follow lower qualities."""
    image = Image.fromarray(rgb)
    image.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    while True:
        for quality in QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality, subsampling=0)
            if buffer.tell() <= room_bytes:
                return buffer.getvalue()
        if max(image.size) <= 256:
            return buffer.getvalue()
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def add_texture(document: dict, binary: bytearray, picture: bytes) -> None:
    """Embed the picture and the material: skin without shine, because the light is in the picture already."""
    view = add_view(document, binary, picture)
    document |= {
        "images": [{"bufferView": view, "mimeType": "image/jpeg"}],
        "samplers": [{"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR, "wrapS": CLAMP_TO_EDGE,
                      "wrapT": CLAMP_TO_EDGE}],
        "textures": [{"source": 0, "sampler": 0}],
        "materials": [{"name": "skin", "doubleSided": True, "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 0.9}}]}


def container(document: dict, binary: bytearray) -> bytes:
    """A GLB file: header, JSON chunk padded with spaces, binary chunk padded with zeros."""
    binary += b"\0" * (-len(binary) % 4)
    document["buffers"][0]["byteLength"] = len(binary)
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = (len(text).to_bytes(4, "little") + b"JSON" + text
              + len(binary).to_bytes(4, "little") + b"BIN\0" + bytes(binary))
    return b"glTF" + (2).to_bytes(4, "little") + (12 + len(chunks)).to_bytes(4, "little") + chunks
