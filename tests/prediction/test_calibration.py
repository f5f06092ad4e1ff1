"""The logistic curve against scikit-learn's, and where the classes are parted or the scores all alike."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mans_jax.prediction.calibration import Calibration, fit


def test_equals_the_logistic_regression_of_another_library():
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(-30, 4, 300), rng.normal(-38, 5, 500)
    # A target between 0 and 1 is a share of the weight for either class.
    high, low = 301 / 302, 1 / 502
    scores = np.concatenate([positive, negative])
    target = np.repeat([high, low], [300, 500])
    x, y, weight = np.tile(scores, 2)[:, None], np.repeat([1, 0], 800), np.concatenate([target, 1 - target])
    want = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, y, sample_weight=weight)
    got = fit(positive, negative)
    assert (got.slope, got.intercept) == pytest.approx((want.coef_[0, 0], want.intercept_[0]), rel=1e-4)
    assert got.probability(scores) == pytest.approx(want.predict_proba(scores[:, None])[:, 1], abs=1e-5)


def test_stays_finite_where_the_scores_part_the_classes():
    got = fit(np.array([5.0, 6.0, 7.0]), np.array([-5.0, -6.0, -7.0]))
    assert np.isfinite([got.slope, got.intercept]).all()
    assert got.probability([6.0, -6.0]) == pytest.approx([4 / 5, 1 / 5], abs=0.02)


def test_scores_that_tell_nothing_give_the_share_of_positives():
    assert fit(np.zeros(30), np.zeros(30)).probability([0.0, 1.0])[0] == pytest.approx(0.5)
    assert fit(np.zeros(3000), np.zeros(1000)).probability(0.0) == pytest.approx(0.75, abs=1e-3)


def test_far_scores_are_sure_and_nothing_overflows():
    assert Calibration(1.0, 0.0).probability([-1e5, 1e5]).tolist() == [0.0, 1.0]
