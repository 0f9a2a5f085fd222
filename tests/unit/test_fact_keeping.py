"""The law of what a new fact drops and replaces, for arbitrary facts that are known."""

import uuid
from random import Random

import numpy as np
from hypothesis import given

from chat.services.facts.keeping import NEAR, SAME, Held, Learnt, replaced_by, twin_of
from retrieval.embeddings import Vectors
from tests.materials import SEEDS, chance_of

TEXTS = ["Lives in Oslo.", "lives in oslo.", "Lives in Rome.", "Likes tea."]


def vector(chance: Random) -> Vectors:
    """One of few directions and a little off it, so that all likenesses come about."""
    made = np.zeros(4, dtype=np.float32)
    made[chance.randint(0, 3)] = 1.0
    made[chance.randint(0, 3)] += chance.choice([0.0, 0.2, 0.9])
    return (made / np.linalg.norm(made)).astype(np.float32)


def any_held(chance: Random) -> Held:
    some = vector(chance) if chance.random() < 0.8 else None
    return Held(uuid.uuid4(), chance.choice(TEXTS), chance.random() < 0.5, chance.random() < 0.3, some)


def case(seed: int) -> tuple[Learnt, list[Held]]:
    chance = chance_of(seed)
    held = [any_held(chance) for _ in range(chance.randint(0, 6))]
    named = chance.choice([None, uuid.uuid4(), *(one.id for one in held)])
    return Learnt(chance.choice(TEXTS), chance.random() < 0.5, named, vector(chance)), held


def likeness(new: Learnt, one: Held) -> float:
    return float(np.dot(new.vector, one.vector)) if one.vector is not None else 0.0


@given(SEEDS)
def test_only_what_counts_wherever_the_new_one_would_makes_it_needless(seed: int) -> None:
    new, held = case(seed)
    twin = twin_of(new, held)
    same = [one for one in held if one.text.lower() == new.text.lower() or likeness(new, one) >= SAME]
    wide_enough = [one for one in same if new.here or not one.here]
    assert (twin in wide_enough) if wide_enough else twin is None


@given(SEEDS)
def test_nothing_is_replaced_that_a_person_wrote_or_that_counts_elsewhere(seed: int) -> None:
    new, held = case(seed)
    for one in replaced_by(new, held):
        assert not one.edited
        assert one.here or not new.here, "what holds in every conversation is not replaced by what holds in one"
        named = one.id == new.replaces and likeness(new, one) >= NEAR
        narrower = one.here and not new.here and (one.text.lower() == new.text.lower() or likeness(new, one) >= SAME)
        same = one.text.lower() == new.text.lower() or likeness(new, one) >= SAME
        assert named or narrower or same


@given(SEEDS)
def test_a_named_fact_that_is_near_and_open_to_it_is_replaced(seed: int) -> None:
    new, held = case(seed)
    for one in held:
        if one.id == new.replaces and not one.edited and (one.here or not new.here) and likeness(new, one) >= NEAR:
            assert one in replaced_by(new, held)


@given(SEEDS)
def test_what_is_compared_under_another_model_is_like_nothing(seed: int) -> None:
    new, held = case(seed)
    foreign = [Held(one.id, f"{one.text} Once.", one.here, one.edited, None) for one in held]
    assert twin_of(new, foreign) is None
    assert replaced_by(new, foreign) == []
