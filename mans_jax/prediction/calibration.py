"""From a score to a probability: a logistic curve fitted to true and false triples."""

import dataclasses

import numpy as np

_ITERATIONS = 100


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The curve 1 / (1 + exp(-(slope * score + intercept)))."""

    slope: float
    intercept: float

    def probability(self, scores) -> np.ndarray:
        """Probabilities of scores, float64 of their shape."""
        return _sigmoid(self.slope * np.asarray(scores, dtype=np.float64) + self.intercept)


def fit(positive: np.ndarray, negative: np.ndarray) -> Calibration:
    """Fits the curve by maximum likelihood, to targets that are moved a little off 0 and 1.

    With P positives and N negatives the targets are (P + 1) / (P + 2) and 1 / (N + 2), so that the curve stays finite
    where the scores part the two without error. Newton's method, with the step halved where it does not help.

    See "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized Likelihood Methods", Platt,
    1999.

    Args:
        positive: scores of true triples, float[P], P > 0.
        negative: scores of false ones, float[N], N > 0.

    Returns:
        Calibration.
    """
    scores = np.concatenate([positive, negative]).astype(np.float64)
    target = np.repeat(
        [(len(positive) + 1) / (len(positive) + 2), 1 / (len(negative) + 2)], [len(positive), len(negative)]
    )
    center, scale = scores.mean(), scores.std() or 1.0
    design = np.stack([(scores - center) / scale, np.ones_like(scores)], axis=1)

    def loss(weights):
        logit = design @ weights
        return np.sum(np.logaddexp(0, logit) - target * logit)

    weights = np.zeros(2)
    for _ in range(_ITERATIONS):
        probability = _sigmoid(design @ weights)
        gradient = design.T @ (probability - target)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design
        # Scores that are all alike have no slope: the least-squares step is then zero in that direction.
        step = np.linalg.lstsq(curvature, gradient, rcond=1e-12)[0]
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-12:
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    slope = float(weights[0] / scale)
    return Calibration(slope=slope, intercept=float(weights[1] - slope * center))


def _sigmoid(logit):
    return np.exp(-np.logaddexp(0, -logit))
