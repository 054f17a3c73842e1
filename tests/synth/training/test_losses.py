"""The terms of phase b against their formulas."""

import math

import numpy as np
import pytest
import torch

from core.errors import PrevisageError
from synth.training.batches import PairBatch, stacked
from synth.training.losses import (
    clean_guess,
    gate,
    identity_term,
    landmark_term,
    perceptual_term,
    picture_terms,
)
from tests.synth.training.made import Distance, Embedding, Marks, pair


@pytest.fixture
def batch() -> PairBatch:
    return stacked([pair(0), pair(1)], (0, 1), torch.device("cpu"))


def test_the_clean_guess_undoes_the_noise():
    clean, noise, alpha = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8), torch.tensor([0.9, 0.5, 0.05])
    a = alpha.view(-1, 1, 1, 1)
    assert torch.allclose(clean_guess(a.sqrt() * clean + (1 - a).sqrt() * noise, noise, alpha), clean, atol=1e-5)


def test_the_gate_opens_at_the_least_signal_to_noise():
    alpha = torch.tensor([0.99, 0.5, 0.499, 0.01])
    assert gate(alpha, 1.0).tolist() == pytest.approx([0.99, 0.5, 0.0, 0.0])


def test_landmarks_count_inside_the_mask_over_the_eyes_distance(batch):
    shift = torch.tensor([3.0, 4.0])
    truth = batch.landmarks_px
    between = [math.dist(p[33].tolist(), p[263].tolist()) for p in truth]
    found = landmark_term(lambda _: truth + shift, batch.after, truth, batch.mask)
    assert found.tolist() == pytest.approx([5 / d for d in between], rel=1e-4)
    half = batch.mask.clone()
    half[:, :, :, :32] = 0
    moved = truth.clone()
    moved[..., 0] += torch.where(truth[..., 0] < 31, 50.0, 0.0)  # wrong where the mask is not
    assert landmark_term(lambda _: moved, batch.after, truth, half).max() < 1e-4
    assert landmark_term(lambda _: truth + 9, batch.after, truth, torch.zeros_like(half)).tolist() == [0, 0]


def test_unknown_landmarks_are_left_out_and_give_no_gradient(batch):
    truth = batch.landmarks_px.clone()
    truth[0, 100:200] = np.nan
    truth[1, 33] = np.nan  # no distance between the eyes
    found = (batch.landmarks_px + 1).requires_grad_(True)
    value = landmark_term(lambda _: found, batch.after, truth, batch.mask)
    value.sum().backward()
    assert torch.isfinite(value).all() and value[1] == 0 and value[0] > 0
    assert torch.isfinite(found.grad).all()
    assert (found.grad[0, 100:200] == 0).all() and (found.grad[1] == 0).all() and (found.grad[0].abs().sum() > 0)


def test_a_landmark_network_of_another_scheme_is_named(batch):
    with pytest.raises(PrevisageError, match="478"):
        landmark_term(lambda _: torch.zeros(2, 68, 2), batch.after, batch.landmarks_px, batch.mask)


def test_identity_is_one_minus_the_cosine(batch):
    net = Embedding()
    a, b = net(batch.after), net(batch.before)
    expected = 1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    assert torch.allclose(identity_term(net, batch.after, batch.before), expected, atol=1e-6)
    assert identity_term(net, batch.before, batch.before).abs().max() < 1e-5


def test_perception_looks_outside_the_mask_only(batch):
    noise = torch.rand_like(batch.after)
    inside = batch.after * (1 - batch.mask) + noise * batch.mask
    outside = batch.after * batch.mask + noise * (1 - batch.mask)
    assert perceptual_term(Distance(), inside, batch.after, batch.mask).abs().max() == 0
    assert perceptual_term(Distance(), outside, batch.after, batch.mask).min() > 0.01


def test_terms_are_gated_and_only_those_whose_networks_are_there(batch):
    guess = torch.rand_like(batch.after)
    nets = {"landmark": Marks(), "identity": Embedding(), "perceptual": Distance()}
    open_one = picture_terms(nets, guess, batch, torch.tensor([1.0, 0.0]))
    both = picture_terms(nets, guess, batch, torch.tensor([0.5, 0.5]))
    assert set(open_one) == set(nets) and set(picture_terms({"identity": nets["identity"]}, guess, batch,
                                                            torch.ones(2))) == {"identity"}
    first = perceptual_term(nets["perceptual"], guess, batch.after, batch.mask)
    assert open_one["perceptual"] == pytest.approx(float(first[0]) / 2, rel=1e-5)
    assert both["perceptual"] == pytest.approx(float(first.sum()) / 4, rel=1e-5)
