"""Graph: the edges of a mesh, who neighbours whom along them, and the uniform Laplacian."""

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_matrix, diags, identity


def edges_of(faces: Int[np.ndarray, "f 3"]) -> tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]]:
    """Every edge once: its lower and its higher vertex."""
    one, other = faces.astype(np.int64).ravel(), np.roll(faces, -1, axis=1).astype(np.int64).ravel()
    count = int(faces.max()) + 1
    low, high = np.divmod(np.unique(np.minimum(one, other) * count + np.maximum(one, other)), count)
    return low, high


def neighbours(i: Int[np.ndarray, "e"], j: Int[np.ndarray, "e"], vertices: int) -> csr_matrix:
    """Symmetric matrix (V,V): 1 where two vertices share an edge."""
    graph = csr_matrix((np.ones(len(i)), (i, j)), shape=(vertices, vertices))
    return graph + graph.T


def laplacian(faces: Int[np.ndarray, "f 3"], vertices: int) -> csr_matrix:
    """The uniform Laplacian (V,V): each vertex less the mean of its neighbours."""
    near = neighbours(*edges_of(faces), vertices)
    degree = np.maximum(np.asarray(near.sum(1)).ravel(), 1)
    return (identity(vertices) - diags(1 / degree) @ near).tocsr()
