"""Training: pairs in shards, and a ControlNet fine-tuned on them.

    write_pairs(folder, make, count, per_shard, recipe)      pairs from 3D or from portraits; `make` is handed in
    train(folder, out, TrainOptions(...))                    on one process or many; goes on where it was stopped
"""

from synth.training.options import TrainOptions
from synth.training.shards import Pair, Pairs, write_pairs

__all__ = ["Pair", "Pairs", "TrainOptions", "write_pairs"]
