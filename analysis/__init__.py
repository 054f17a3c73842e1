"""Measures of a face, its symmetry and skin tone, and accuracy against the truth; norms come with a later issue."""
