import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GridSearchCV, KFold, cross_validate

from specxfer import Spectra
from specxfer.model_selection import StarKFold, StarShuffleSplit, check_star_cv

SPLITTERS = [StarKFold(4), StarShuffleSplit(4, test_size=0.3)]


def spectra(n_stars=20, seed=0):
    rng = np.random.default_rng(seed)
    ids = np.repeat([f"star{i:02d}" for i in range(n_stars)], rng.integers(1, 6, 20))
    ids = rng.permutation(ids)
    flux = rng.normal(1, 0.01, (len(ids), 7)).astype("f4")
    return Spectra(flux, wave=np.arange(7) + 5000.0, medium="air", ids=ids)


class NeverSawTheStar(RegressorMixin, BaseEstimator):
    """Predicts the mean; refuses a test star it was fitted on."""

    def __init__(self, offset=0.0, names=None):
        self.offset = offset
        self.names = names

    def fit(self, X, y):
        self.seen_ = set(X.ids)
        self.mean_ = np.nanmean(np.asarray(y), axis=0)
        return self

    def predict(self, X):
        if len(X) < 1000:
            assert X.ids is not None
        return np.tile(self.mean_ + self.offset, (len(X), 1))

    def score(self, X, y):
        return float(not self.seen_ & set(X.ids))


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_no_star_on_both_sides(splitter):
    X = spectra()
    for train, test in splitter.split(X):
        assert not set(X.ids[train]) & set(X.ids[test])
        assert len(train)
        assert len(test)
        assert len(np.unique(np.r_[train, test])) == len(train) + len(test)


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_where_the_names_come_from(splitter):
    X = spectra()
    from_X = list(splitter.split(X))
    flux = np.asarray(X)
    same = [
        splitter.split(flux, X),
        splitter.split(flux, groups=X.ids),
        splitter.split(X, X),
        splitter.split(X.replace(ids=np.arange(len(X))), groups=X.ids),
    ]
    for splits in same:
        for (train, test), (train_X, test_X) in zip(splits, from_X):
            np.testing.assert_array_equal(train, train_X)
            np.testing.assert_array_equal(test, test_X)


def test_folds_cover_everything_once_and_are_balanced():
    X = spectra()
    folds = [test for _, test in StarKFold(4).split(X)]
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(len(X)))
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= np.unique(X.ids, return_counts=True)[1].max()
    plain = [len(test) for _, test in StarKFold(4).split(np.zeros((22, 3)))]
    assert sorted(plain) == [5, 5, 6, 6]


@pytest.mark.parametrize("splitter", [StarKFold, StarShuffleSplit])
def test_deterministic_unless_asked(splitter):
    X = spectra()

    def tests(random_state):
        splits = splitter(3, random_state=random_state).split(X)
        return [tuple(test) for _, test in splits]

    default = [tuple(test) for _, test in splitter(3).split(X)]
    assert default == tests(0)
    assert default != tests(1)
    assert tests(np.random.RandomState(0)) == default


def test_shuffle_split_counts_stars():
    X = spectra()
    train, test = next(StarShuffleSplit(1, test_size=0.3).split(X))
    assert len(np.unique(X.ids[test])) == 6
    assert len(np.unique(X.ids[train])) == 14
    train, test = next(StarShuffleSplit(1, test_size=2, train_size=3).split(X))
    assert len(np.unique(X.ids[test])) == 2
    assert len(np.unique(X.ids[train])) == 3


@pytest.mark.parametrize("splitter", [StarKFold(3), StarShuffleSplit(2)], ids=repr)
def test_disagreeing_ids_are_an_error(splitter):
    X = spectra()
    with pytest.raises(ValueError, match=r"different stars.*groups="):
        list(splitter.split(X, X[::-1]))
    list(splitter.split(X, X[::-1], groups=X.ids))


@pytest.mark.parametrize(
    ("splitter", "ids", "message"),
    [
        (StarKFold(3), ["a", "a", "b", "b"], "2 star"),
        (StarKFold(1), list("abcd"), "n_splits"),
        (StarKFold(2.0), list("abcd"), "n_splits"),
        (StarKFold(2), ["a", "", "b", "c"], "missing in 1 row"),
        (StarKFold(2), ["a", None, "b", "c"], "missing in 1 row"),
        (StarKFold(2), [1.0, 2.0, np.nan, 3.0], "missing in 1 row"),
        (StarKFold(2), list("abc"), "one per row"),
        (StarShuffleSplit(1), ["a"] * 4, "1 star"),
        (StarShuffleSplit(1, test_size=1.5), list("abcd"), "test_size is 1.5"),
        (StarShuffleSplit(1, test_size=3, train_size=2), list("abcd"), "4 star"),
    ],
)
def test_impossible_splits(splitter, ids, message):
    with pytest.raises(ValueError, match=message):
        list(splitter.split(np.zeros((4, 2)), groups=ids))


def test_the_flux_is_never_read():
    class NoFlux:
        shape = (6, 10**6)
        ids = np.array(list("aabbcc"))

        def __len__(self):
            return 6

        def __getitem__(self, key):
            raise AssertionError("read")

        __array__ = __getitem__

    assert len(list(StarKFold(3).split(NoFlux()))) == 3
    assert len(list(StarShuffleSplit(2, test_size=1).split(NoFlux()))) == 2


@pytest.mark.parametrize("cv", SPLITTERS, ids=repr)
def test_plain_cv_in_scikit_learn_never_splits_a_star(cv):
    X = spectra()
    scores = cross_validate(NeverSawTheStar(), X, X, cv=cv)["test_score"]
    assert (scores == 1).all()
    search = GridSearchCV(NeverSawTheStar(), {"offset": [0.0, 0.1]}, cv=cv)
    assert search.fit(X, X).best_score_ == 1
    leaky = cross_validate(NeverSawTheStar(), X, X, cv=KFold(4))["test_score"]
    assert leaky.min() == 0  # what the splitter is for


def test_splitters_are_plain_objects():
    for splitter in SPLITTERS:
        copy = pickle.loads(pickle.dumps(splitter))
        assert repr(copy) == repr(splitter)
        assert copy.get_n_splits() == splitter.get_n_splits() == 4
    assert repr(SPLITTERS[0]) == ("StarKFold(n_splits=4, random_state=0, shuffle=True)")


def test_check_star_cv():
    assert isinstance(check_star_cv(None), StarKFold)
    assert check_star_cv(3).n_splits == 3
    assert check_star_cv(SPLITTERS[1]) is SPLITTERS[1]
    given = [(np.arange(2), np.arange(2, 4))]
    assert check_star_cv(given).get_n_splits() == 1


def test_shuffle_as_peers_have_it():
    X = spectra()
    folds = [list(StarKFold(4, **how).split(X)) for how in ({}, {"shuffle": True})]
    for (_, a), (_, b) in zip(*folds):
        np.testing.assert_array_equal(a, b)
    plain = np.zeros((7, 3))  # each row a star
    found = [
        [test.tolist() for _, test in StarKFold(3, **how).split(plain)]
        for how in (
            {"shuffle": False},
            {"shuffle": False, "random_state": 5},
        )
    ]
    assert found[0] == found[1] == [[0, 3, 6], [1, 4], [2, 5]]
