"""What is written as Nix is read by Nix as what was meant."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.nix import evaluate

from nix_manylinux.base.errors import BadOption
from nix_manylinux.nix.syntax import nix_list, nix_name, nix_path, nix_string

pytestmark = pytest.mark.nix

#: All that a Nix string can hold and JSON can bring back, the awkward parts often.
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(["${", "$", "$$", "{", "\\", '"', "''", "\n", "\r", "\r\n", "\t", "''${"]),
        st.characters(codec="utf-8", exclude_characters="\0"),
    ),
    max_size=12,
).map("".join)

SETTINGS = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(st.lists(TEXTS, min_size=30, max_size=60))
def test_strings(texts: list[str]) -> None:
    """Every string comes back as it was, interpolations and quotes included."""
    assert evaluate(nix_list(nix_string(text) for text in texts)) == texts


@SETTINGS
@given(st.lists(TEXTS, min_size=10, max_size=30, unique=True))
def test_names(names: list[str]) -> None:
    """Every attribute name comes back as it was, keywords included."""
    names = list(dict.fromkeys([*names, "if", "or", "rec", "3proxy", "a-b", "a'", "_1", "null"]))
    attributes = " ".join(f"{nix_name(name)} = 1;" for name in names)
    assert evaluate(f"builtins.attrNames {{ {attributes} }}") == sorted(
        names, key=lambda name: name.encode()
    )


def test_path() -> None:
    """A path selects through every part, quoted or not."""
    assert evaluate(f'{{ a."3".or = 7; }}.{nix_path("a.3.or")}') == 7


def test_null() -> None:
    """What no Nix string can hold is refused."""
    with pytest.raises(BadOption):
        nix_string("a\0b")
