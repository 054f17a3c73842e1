"""Measures of a face, accuracy against the truth; symmetry, skin type and norms come with later issues."""
