"""Random adult heads from Anny (Apache-2.0 code, CC0 MakeHuman data), as one fixed topology with clean eyes.

Letters: N heads, V vertices. Lengths leave this module in millimetres, axes already the head frame's
(x the patient's left, y up, z forward); position, turn and size are still Anny's.
"""

import warnings

import numpy as np

FACE_CHANGES = ("cheek", "chin", "ear", "eye", "forehead", "head", "mouth", "nose", "neck")
ADULT_AGE = (0.66, 1.0)
LOCAL_SD = 0.35
BATCH = 50


def load_anny():
    """Anny's head with every local change and facial action; no tongue."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import anny

        return anny.create_head_model(eyes=True, tongue=False, local_changes="all", facial_actions=True,
                                      triangulate_faces=True, all_phenotypes=True)


def evaluate(anny, phenotypes, changes, actions):
    """(N, V, 3) mm of batched parameters, each a dict of name -> (N,) array."""
    import torch

    tensors = [{k: torch.tensor(v) for k, v in d.items()} for d in (phenotypes, changes, actions)]
    with torch.no_grad():
        out = anny(phenotype_kwargs=tensors[0], local_changes_kwargs=tensors[1], facial_actions=tensors[2])
    x, back, up = np.moveaxis(out["rest_vertices"].numpy() * 1000, 2, 0)  # Anny: z up, facing -y
    return np.stack([x, up, -back], 2)


def adult(rng, count):
    """Random adult phenotypes: any sex, build and mixture of ancestries."""
    ancestry = rng.dirichlet((1, 1, 1), count)
    return {"gender": rng.uniform(0, 1, count), "age": rng.uniform(*ADULT_AGE, count),
            "weight": rng.uniform(0.2, 0.8, count), "muscle": rng.uniform(0.3, 0.7, count),
            "african": ancestry[:, 0], "asian": ancestry[:, 1], "caucasian": ancestry[:, 2]}


def random_heads(anny, count, rng):
    """(count, V, 3) mm: random phenotypes with normal local changes of the face, clipped to the artists' range."""
    names = [n for n in anny.local_change_labels if any(part in n for part in FACE_CHANGES) and "measure" not in n]
    heads = []
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        changes = {k: np.clip(rng.normal(0, LOCAL_SD, n), -1, 1) for k in names}
        heads.append(evaluate(anny, adult(rng, n), changes, {}))
    return np.concatenate(heads)


def facial_actions(anny):
    """Action names and (E, V, 3) mm displacements at full strength on the default adult."""
    names = [n for n in anny.facial_action_labels if n != "tongueOut"]
    base = {"gender": np.array([0.5]), "age": np.array([0.7])}
    neutral = evaluate(anny, base, {}, {})[0]
    moved = [evaluate(anny, base, {}, {n: np.array([1.0])})[0] for n in names]
    return tuple(names), np.stack(moved) - neutral


def components(faces, count):
    """Vertex label of each connected component, largest first."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges)), edges.T), (count, count))
    labels = connected_components(graph, directed=False)[1]
    order = np.argsort(-np.bincount(labels))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[labels]
