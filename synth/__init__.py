"""Photoreal pictures: guided warp, painting, post-processing, guard, metrics, training. Imports core only."""
