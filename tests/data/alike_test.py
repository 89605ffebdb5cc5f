"""One person with two names is found by features that depend on identity, and only then."""

import numpy as np

from va_jax.data import alike


def means(count=40, width=64, twins=((3, 17),), noise=0.3):
    """Return features of subjects around a common face; twins have the same identity."""
    rng = np.random.default_rng(0)
    identity = rng.normal(size=(count, width))
    for one, other in twins:
        identity[other] = identity[one]
    common = 50 * rng.normal(size=width)
    return {
        f"s{n:02}": common + row + noise * rng.normal(size=width) for n, row in enumerate(identity)
    }


def test_a_person_with_two_names_is_found_and_nobody_else():
    (found,) = alike.find_alike(means())
    assert (found.one, found.other) == ("s03", "s17")
    assert found.similarity > 0.8
    assert abs(found.usual) < 0.1
    assert "'s03'" in found.text()
    assert "'s17'" in found.text()


def test_different_people_are_not_reported():
    assert alike.find_alike(means(twins=())) == []


def test_the_order_of_subjects_changes_nothing():
    given = means()
    assert alike.find_alike(dict(reversed(given.items()))) == alike.find_alike(given)


def test_a_few_subjects_are_too_few_to_judge():
    few = dict(list(means(twins=((0, 1),)).items())[: alike.LEAST_SUBJECTS - 1])
    assert alike.find_alike(few) == []


def test_a_constant_feature_does_not_matter():
    given = {name: np.append(row, 7.0) for name, row in means().items()}
    assert [(e.one, e.other) for e in alike.find_alike(given)] == [("s03", "s17")]
