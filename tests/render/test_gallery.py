"""Gallery: every cell has its place, and the page its mark."""

import numpy as np

from render.gallery import gallery, note_card


def test_cells_stand_in_rows() -> None:
    cells = {f"cell {k}": np.full((60, 48, 3), 20 * k, np.uint8) for k in range(5)}
    page = gallery(cells, "five", 3)
    values = {int(v) for v in np.unique(page[..., 0])}
    assert {0, 20, 40, 60, 80} <= values
    assert page.shape[1] == 3 * (48 + 4) + 4 and page.shape[0] >= 2 * 60


def test_the_mark_is_on_the_page() -> None:
    cells = {"a": np.full((60, 48, 3), 255, np.uint8)}
    page = gallery(cells, "t", 3).astype(int)
    red = (page[..., 0] - page[..., 1] > 80) & (page[..., 0] > 120)
    assert red.sum() > 30


def test_a_long_reason_is_broken_into_lines() -> None:
    card = note_card("Nothing of this plan shows in a frontal photo: it moves the skin towards the camera.", (120, 160))
    rows = np.flatnonzero((card < 100).all(-1).any(1))
    columns = np.flatnonzero((card < 100).all(-1).any(0))
    assert card.shape == (160, 120, 3) and np.ptp(rows) > 40 and columns.min() > 2 and columns.max() < 117
