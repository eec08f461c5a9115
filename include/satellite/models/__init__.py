"""Models: networks, training, evaluation, comparison, promotion, and the map they draw."""
