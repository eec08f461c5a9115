"""Training data: the cube, labels, splits without leaks, patches and sequences."""
