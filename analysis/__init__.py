"""Measurements, symmetry, skin type and norms: empty in this version; issue E and its successors fill it."""
