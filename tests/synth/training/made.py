"""Small pairs made of formulas, at module level so that other processes can make them, too."""

import cv2
import numpy as np
import torch

from synth.training import Pair

SIZE_PX = 64


def pair(number: int) -> Pair:
    """A disc on a plain ground whose ring is the control picture; landmarks on the ring."""
    rng = np.random.default_rng(number)
    colour, ground = rng.integers(60, 230, 3), rng.integers(20, 120, 3)
    x, y, radius = rng.uniform(24, 40), rng.uniform(24, 40), rng.uniform(10, 16)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX]
    inside = np.clip(radius - np.hypot(columns - x, rows - y) + 0.5, 0, 1)[..., None]
    before = (ground * np.ones((SIZE_PX, SIZE_PX, 3))).astype(np.uint8)
    control = np.zeros_like(before)
    cv2.circle(control, (round(x), round(y)), round(radius), (10, 200, 10), 2)
    turn = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    marks = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], 1).astype(np.float32)
    mask = (np.hypot(columns - x, rows - y) < radius + 4).astype(np.float32)
    return Pair(before=before, after=(inside * colour + (1 - inside) * before).astype(np.uint8), control=control,
                mask=mask, landmarks_px=marks, prompt="photograph of a face", facts={"number": number})


class Marks(torch.nn.Module):
    """A landmark network in small: 478 points from the picture's mean colours."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(48, 478 * 2)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(n,3,h,w) -> (n,478,2) px."""
        small = torch.nn.functional.adaptive_avg_pool2d(picture, 4).flatten(1)
        return 32 + 20 * self.layer(small).reshape(-1, 478, 2)


class Embedding(torch.nn.Module):
    """An identity network in small."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer = torch.nn.Conv2d(3, 8, 5, stride=4)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(n,3,h,w) -> (n,d)."""
        return self.layer(picture).flatten(1)


class Distance(torch.nn.Module):
    """A perceptual distance in small."""

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """(n,3,h,w) twice -> (n,1,h,w)."""
        return (one - other).pow(2).mean(1, keepdim=True)


def write_nets(folder) -> dict[str, str]:
    """The three networks as TorchScript files."""
    files = {}
    for term, net in (("landmark", Marks()), ("identity", Embedding()), ("perceptual", Distance())):
        files[f"{term}_net"] = str(folder / f"{term}.pt")
        torch.jit.script(net).save(files[f"{term}_net"])
    return files
