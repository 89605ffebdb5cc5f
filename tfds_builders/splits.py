"""Draw splits that share no subjects, identically on every machine."""

import functools
import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from va_jax.types import InputError


def subject_disjoint_splits(
    subjects: Iterable[str],
    seed: int,
    fractions: Mapping[str, float],
    strata: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Assign each subject to one split.

    Subjects are sorted by a hash of seed and name, so the result depends neither on their order nor
    on the version of a random generator. Each stratum is divided according to the fractions,
    rounded so that the overall fractions stay correct. If there are at least as many subjects as
    splits, every split gets at least one subject, taken from the largest split if necessary;
    otherwise the first splits in `fractions` get one each.

    Args:
        subjects: Names, in any order, possibly repeated.
        seed: Seed; a different seed produces different splits.
        fractions: {split: fraction}; the fractions sum to 1.
        strata: {subject: stratum}, for example the culture; None: all are in one stratum.

    Returns:
        {subject: split}.
    """
    if any(share < 0 for share in fractions.values()) or not np.isclose(sum(fractions.values()), 1):
        raise InputError(f"split fractions {dict(fractions)} must each be at least 0 and sum to 1")
    wanted = {split: share for split, share in fractions.items() if share > 0}
    by_stratum: dict[str, list[str]] = {}
    for subject in sorted(set(subjects), key=functools.partial(_draw, seed)):
        by_stratum.setdefault(strata[subject] if strata else "", []).append(subject)
    members: dict[str, list[str]] = {split: [] for split in wanted}
    total = 0
    for stratum in sorted(by_stratum):
        queue = by_stratum[stratum]
        total += len(queue)
        owed = {split: wanted[split] * total - len(members[split]) for split in wanted}
        shares = {split: max(0, int(owed[split] + 1e-9)) for split in wanted}
        while sum(shares.values()) > len(queue):
            shares[max(shares, key=shares.__getitem__)] -= 1
        while sum(shares.values()) < len(queue):
            shares[max(shares, key=lambda split: owed[split] - shares[split])] += 1
        for split, share in shares.items():
            members[split] += queue[:share]
            queue = queue[share:]
    for split in list(wanted)[:total]:
        if not members[split]:  # on a tie, take from the last split and spare the first ones
            giver = max(reversed(wanted), key=lambda each: len(members[each]))
            members[split].append(members[giver].pop())
    return {subject: split for split, names in members.items() for subject in names}


def fold_splits(
    subjects: Iterable[str],
    seed: int,
    folds: int,
    fold: int,
    strata: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return {subject: split} for one round of cross-validation.

    Subjects are divided evenly, as in `subject_disjoint_splits`. Fold number `fold` is test, the
    next one is dev (the first fold follows the last), and the others are train. Every subject is in
    test in exactly one of the `folds` rounds.
    """
    shares = {str(number): 1 / folds for number in range(folds)}
    drawn = subject_disjoint_splits(subjects, seed, shares, strata)
    named = {str(fold): "test", str((fold + 1) % folds): "dev"}
    return {subject: named.get(number, "train") for subject, number in drawn.items()}


def linked_subjects(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Group subjects that are linked by shared sessions, even indirectly.

    Args:
        pairs: (subject, session) pairs.

    Returns:
        {subject: unit}. A unit is named after its first subject in sorted order.
    """
    unit: dict[str, str] = {}
    members: dict[str, set[str]] = {}
    by_session: dict[str, str] = {}
    for subject, session in sorted(set(pairs)):
        if subject not in unit:
            unit[subject], members[subject] = subject, {subject}
        other = unit[by_session.setdefault(session, subject)]
        kept, gone = sorted((unit[subject], other))
        if kept != gone:
            for each in members.pop(gone):
                unit[each] = kept
                members[kept].add(each)
    return unit


def _draw(seed: int, subject: str) -> str:
    return hashlib.sha256(f"{seed}:{subject}".encode(errors="surrogateescape")).hexdigest()
