"""Splits in which no subject appears twice, the same on every machine."""

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
    """{subject: split}, each subject in one split; `subjects` may repeat and come in any order.

    Subjects are ordered by a hash of seed and name, so the result depends on neither their order
    nor a random generator's version. Each stratum (`strata`: {subject: name}) is shared out by the
    fractions, rounding so that the totals stay right; of N splits, the first min(N, subjects) in
    the order of `fractions` get at least one subject, taken from the largest.
    """
    if any(share < 0 for share in fractions.values()) or not np.isclose(sum(fractions.values()), 1):
        raise InputError(f"split fractions {dict(fractions)} are not shares that sum to 1")
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
            shares[max(shares, key=shares.get)] -= 1
        while sum(shares.values()) < len(queue):
            shares[max(shares, key=lambda split: owed[split] - shares[split])] += 1
        for split, share in shares.items():
            members[split] += queue[:share]
            queue = queue[share:]
    for split in list(wanted)[:total]:
        if not members[split]:  # on a tie the last split gives, so that the first ones stay
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
    """{subject: split} of one of `folds` cross-validation rounds.

    Subjects are shared out evenly as in `subject_disjoint_splits`. Fold number `fold` is test, the
    next one (after the last, the first) dev, the rest train; over all rounds everyone is test once.
    """
    shares = {str(number): 1 / folds for number in range(folds)}
    drawn = subject_disjoint_splits(subjects, seed, shares, strata)
    named = {str(fold): "test", str((fold + 1) % folds): "dev"}
    return {subject: named.get(number, "train") for subject, number in drawn.items()}


def unparted(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """{subject: unit} so that subjects who share a session, directly or over others, share a unit.

    `pairs` are (subject, session); a unit goes by its first subject in sorted order.
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
    return hashlib.sha256(f"{seed}:{subject}".encode()).hexdigest()
