"""Ensembles of decision trees as plain tensors: stored as safetensors, run with NumPy alone.

A file of tensors executes nothing when it is read, whereas a pickle of scikit-learn runs what its author put into it.
The orchestrator, whose image has no scikit-learn, runs the same trees. A random forest averages the shares of the crops
in the leaves; gradient boosting adds the values of the leaves of one tree a step and crop to a start value, and takes
the softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.core.errors import ContractError
from include.satellite.crops.params import CropModel

if TYPE_CHECKING:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
ROWS_AT_ONCE = 1024
LEAF = -1
NAMES = ("root", "left", "right", "feature", "threshold", "value", "start")


@dataclass(frozen=True)
class Ensemble:
    """Trees, their nodes one after the other.

    Args:
        root: (T,) first node of each tree.
        left: (N,) node where the feature is at most the threshold; `LEAF` in leaves.
        right: (N,) node where it is above.
        feature: (N,) column of the samples.
        threshold: (N,) compared in float32, as the training does.
        value: (N, C) what a leaf gives each crop.
        start: (C,) added to the sum of the trees of gradient boosting; empty for a random forest.
    """

    root: Ints
    left: Ints
    right: Ints
    feature: Ints
    threshold: Floats
    value: Floats
    start: Floats

    def predict(self, samples: Floats) -> NDArray[np.float64]:
        """Return the (S, C) probabilities of samples (S, features)."""
        parts = [self._predict(samples[first : first + ROWS_AT_ONCE]) for first in range(0, len(samples), ROWS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.empty((0, self.value.shape[1]))

    def _predict(self, samples: Floats) -> NDArray[np.float64]:
        values = samples.astype(np.float32)
        node = np.tile(self.root, (len(values), 1))
        row = np.arange(len(values))[:, None]
        while (inner := self.left[node] != LEAF).any():
            below = values[row, np.where(inner, self.feature[node], 0)] <= self.threshold[node]
            node = np.where(inner, np.where(below, self.left[node], self.right[node]), node)
        total = np.zeros((len(values), self.value.shape[1]))
        for tree in range(node.shape[1]):
            total += self.value[node[:, tree]]
        if not len(self.start):
            return total / len(self.root)
        raw = total + self.start
        raw = np.exp(raw - raw.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float64] = raw / raw.sum(axis=1, keepdims=True)
        return probabilities

    def save(self, path: Path) -> None:
        """Write the tensors; the same ensemble gives the same bytes."""
        from safetensors.numpy import save

        from include.core.files import write_atomically

        write_atomically(path, save({name: np.ascontiguousarray(getattr(self, name)) for name in NAMES}))

    @classmethod
    def load(cls, path: Path) -> Ensemble:
        """Read an ensemble; nothing in the file is executed.

        Raises:
            ContractError: It is damaged, or holds no ensemble.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise ContractError(path.name, "must be a complete safetensors file", reason) from error
        if set(tensors) != set(NAMES):
            raise ContractError(path.name, f"must hold {', '.join(NAMES)}", ", ".join(sorted(tensors)))
        ensemble = cls(**tensors)
        ensemble.check(path.name)
        return ensemble

    def check(self, name: str) -> None:
        """Check that every walk through the trees ends: children come after their parents and within the nodes.

        Raises:
            ContractError: They do not, or the tensors do not fit each other.
        """
        nodes = len(self.left)
        one_each = all(tensor.shape == (nodes,) for tensor in (self.right, self.feature, self.threshold))
        if (
            not one_each
            or self.value.ndim != 2
            or len(self.value) != nodes
            or self.root.ndim != 1
            or not len(self.root)
        ):
            raise ContractError(name, "must have one value of each kind a node", f"{nodes} nodes")
        inner = self.left != LEAF
        own = np.arange(nodes)[inner]
        ends = [side[inner] for side in (self.left, self.right)]
        sound = all(((side > own) & (side < nodes)).all() for side in ends) and (self.feature[inner] >= 0).all()
        if not sound or self.root.min() < 0 or self.root.max() >= nodes:
            raise ContractError(name, "must be trees whose children come after their parents", "others")


def ensemble_of(model: RandomForestClassifier | GradientBoostingClassifier, kind: CropModel) -> Ensemble:
    """Return the trees of a trained model of scikit-learn.

    Args:
        model: Trained on classes 0 to C − 1.
        kind: What it is.
    """
    count = len(model.classes_)
    trees: list[tuple[Any, NDArray[np.float64]]] = []
    start = np.empty(0)
    if kind == "random_forest":
        for estimator in model.estimators_:
            shares = estimator.tree_.value[:, 0, :]
            trees.append((estimator.tree_, shares / shares.sum(axis=1, keepdims=True)))
    else:
        prior = model.init_.class_prior_
        binary = count == 2
        start = np.log(prior)
        for column, estimator in ((column, tree) for step in model.estimators_ for column, tree in enumerate(step)):
            value = np.zeros((estimator.tree_.node_count, count))
            value[:, 1 if binary else column] = model.learning_rate * estimator.tree_.value[:, 0, 0]
            trees.append((estimator.tree_, value))
    sizes = [tree.node_count for tree, _ in trees]
    root = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    leaf = [tree.children_left == LEAF for tree, _ in trees]

    def child(side: str) -> Ints:
        parts = [
            np.where(own, LEAF, getattr(tree, side) + first)
            for (tree, _), own, first in zip(trees, leaf, root, strict=True)
        ]
        return np.concatenate(parts).astype(np.int32)

    return Ensemble(
        root=root,
        left=child("children_left"),
        right=child("children_right"),
        feature=np.concatenate([tree.feature for tree, _ in trees]).astype(np.int32),
        threshold=np.concatenate([tree.threshold for tree, _ in trees]).astype(np.float64),
        value=np.concatenate([value for _, value in trees]).astype(np.float64),
        start=start.astype(np.float64),
    )
