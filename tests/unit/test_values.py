"""Values behave as frozen dataclasses do."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nix_manylinux.base.values import Value, field, field_names, replace


class Point(Value):
    """Two numbers and what doesn't count."""

    x: int
    y: int = 2
    note: str = field(default="", compare=False)
    table: dict[str, int] = field(default_factory=dict, hash=False, repr=False)


class Named(Point):
    """One field more."""

    name: str = "none"


class Pair(Value, kw_only=False):
    """What may be made from positions."""

    first: str
    second: str | None = None


class Counter(Value, frozen=False):
    """A thing that changes."""

    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What `Point` has to behave as."""

    x: int
    y: int = 2


def test_fields_and_defaults() -> None:
    """Arguments and defaults arrive; a factory is called for each value anew."""
    one, two = Point(x=1), Point(x=1)
    assert (one.x, one.y, one.note, one.table) == (1, 2, "", {})
    assert one.table is not two.table
    assert field_names(Named) == ("x", "y", "note", "table", "name")
    assert not hasattr(one, "__dict__")


@given(st.integers(), st.integers(), st.integers(), st.integers())
def test_equality_and_hash_are_those_of_dataclasses(a: int, b: int, c: int, d: int) -> None:
    """Two values are equal where a dataclass says so, and then have one hash."""
    ours = (Point(x=a, y=b), Point(x=c, y=d, note="other"))
    theirs = (Reference(x=a, y=b), Reference(x=c, y=d))
    assert (ours[0] == ours[1]) == (theirs[0] == theirs[1])
    assert ours[0] != ours[1] or hash(ours[0]) == hash(ours[1])
    assert Point(x=a) != Named(x=a)


def test_repr_is_that_of_a_dataclass() -> None:
    """The text names the class and each shown field."""
    assert repr(Point(x=1)).replace("Point", "Reference").replace(", note=''", "") == repr(
        Reference(x=1)
    )


def test_replace_and_copies() -> None:
    """A replaced field is new, the others are kept; copies and pickles are equal."""
    named = Named(x=1, y=3, name="n")
    assert replace(named, x=5) == Named(x=5, y=3, name="n")
    assert copy.deepcopy(named) == named
    assert named.__replace__(x=5) == replace(named, x=5)  # what copy.replace calls (Python 3.13)
    assert pickle.loads(pickle.dumps(named)) == named  # noqa: S301 - our own bytes
    with pytest.raises(TypeError, match="no field 'z'"):
        replace(named, z=1)


def test_wrong_arguments() -> None:
    """What a dataclass refuses is refused: missing, unknown, positional and double ones."""
    with pytest.raises(TypeError, match="lacks the argument 'x'"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="no field 'z'"):
        Point(x=1, z=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="by keyword only"):
        Point(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="each field once"):
        Pair("a", first="b")  # type: ignore[misc]
    with pytest.raises(TypeError, match="each field once"):
        Pair("a", "b", "c")  # type: ignore[call-arg]
    assert Pair("a", "b") == Pair(first="a", second="b")


def test_frozen_unless_said_otherwise() -> None:
    """A value can't change; what can change has no hash."""
    with pytest.raises(AttributeError, match="frozen"):
        Point(x=1).x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del Point(x=1).x
    counter = Counter()
    counter.count += 1
    assert counter.count == 1
    assert counter == Counter(count=1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)
