import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import bequest as bq

pytestmark = [
    pytest.mark.slow,
    # scikit-learn's checks feed columns that hardly vary, and say so themselves
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]


@parametrize_with_checks([bq.TransferClassifier(), bq.TransferRegressor()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
