"""Tables only: procedures, schemes, norms; each with its source and licence."""
