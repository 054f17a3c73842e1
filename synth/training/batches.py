"""Batches: which pairs a step trains on and with which noise, decided by seed and step alone.

Sample k of a run is pair perm(epoch)[k mod N] with the noise of generator (seed, k). So a run that goes on after it was
stopped, or on another number of processes with as many samples a step, meets the same samples, and nothing of a random
state need be kept.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from core.records import record
from synth.training.shards import Pair, Pairs


@record
class PairBatch:
    """Tensors of n pairs: pictures (n,3,h,w) in 0..1, mask (n,1,h,w), landmarks_px (n,478,2), NaN where unknown."""

    before: Any
    after: Any
    control: Any
    mask: Any
    landmarks_px: Any
    prompts: tuple[str, ...]
    samples: tuple[int, ...]


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch meets the pairs."""
    return np.random.default_rng([seed, 3, epoch]).permutation(count)


def samples_of(step: int, part: int, rank: int, processes: int, batch: int, accumulate: int) -> range:
    """The samples of one pass: `part` of the step's passes on the process `rank`."""
    first = step * batch * accumulate * processes + (part * processes + rank) * batch
    return range(first, first + batch)


def pair_numbers(samples: Sequence[int], seed: int, count: int) -> list[int]:
    """The pairs of some samples."""
    return [int(order(seed, k // count, count)[k % count]) for k in samples]


def generator(seed: int, sample: int) -> Any:
    """The source of a sample's noise, level and words; on the processor, so that devices do not matter."""
    import torch

    state = np.random.SeedSequence([seed, 4, sample]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def stacked(pairs: Sequence[Pair], samples: Sequence[int], device: Any) -> PairBatch:
    """Pairs as tensors."""
    import torch

    def pictures(name: str) -> Any:
        values = np.stack([getattr(p, name) for p in pairs]).transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(values)).to(device).float() / 255

    return PairBatch(before=pictures("before"), after=pictures("after"), control=pictures("control"),
                     mask=torch.from_numpy(np.stack([p.mask for p in pairs])[:, None]).to(device),
                     landmarks_px=torch.from_numpy(np.stack([p.landmarks_px for p in pairs])).to(device),
                     prompts=tuple(p.prompt for p in pairs), samples=tuple(samples))


def passes(pairs: Pairs, seed: int, plan: Sequence[range], device: Any, workers: int) -> Iterator[PairBatch]:
    """The batches of a plan, read ahead on threads."""
    with ThreadPoolExecutor(workers) as pool:
        def ask(samples: range) -> list[Any]:
            return [pool.submit(pairs.__getitem__, n) for n in pair_numbers(samples, seed, len(pairs))]

        waiting = [ask(samples) for samples in plan[:2]]
        for number, samples in enumerate(plan):
            if number + 2 < len(plan):
                waiting.append(ask(plan[number + 2]))
            yield stacked([f.result() for f in waiting.pop(0)], samples, device)
