"""Evaluation: metrics, naive and synthetic baselines, the comparison of models, and the gates."""
