"""Springs at rest are what a dense solver says."""

import numpy as np
import pytest

from recon.graph import edges_of, neighbours
from recon.springs import springs
from tests.core.builders import sphere


@pytest.mark.parametrize("held", ["all", "one"])
def test_at_rest(held):
    mesh = sphere(80, 12, 24)
    count = len(mesh.vertices_mm)
    rng = np.random.default_rng(3)
    own = rng.uniform(0, 2, count) if held == "all" else np.eye(count)[7]
    pull = rng.standard_normal((count, 3))
    graph = neighbours(*edges_of(mesh.faces), count).toarray()
    system = np.diag(graph.sum(1)) - graph + np.diag(own)
    assert np.allclose(springs(mesh).at_rest(own, pull), np.linalg.solve(system, pull), atol=1e-9)
