"""Floors are read out of every tag, and policies are found for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nix_manylinux.base.errors import BadOption
from nix_manylinux.target import policy


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("manylinux1", ("glibc", 2, 5, "")),
        ("manylinux2010_i686", ("glibc", 2, 12, "i686")),
        ("manylinux2014_aarch64", ("glibc", 2, 17, "aarch64")),
        ("manylinux_2_28", ("glibc", 2, 28, "")),
        ("manylinux_2_99_x86_64", ("glibc", 2, 99, "x86_64")),
        ("manylinux_2_31_riscv64", ("glibc", 2, 31, "riscv64")),
        ("manylinux1_aarch64", ("glibc", 2, 5, "aarch64")),
        ("musllinux_1_2_ppc64le", ("musl", 1, 2, "ppc64le")),
    ],
)
def test_floor(tag: str, expected: tuple[str, int, int, str]) -> None:
    """Legacy names, any X_Y and any architecture are read alike, bare or with architecture."""
    found = policy.floor(tag)
    assert (found.libc, found.major, found.minor, found.arch) == expected


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "any",
        "linux_x86_64",
        "manylinux",
        "manylinux3",
        "manylinux_2",
        "manylinux_2_x",
        "2014",
        "manylinux1_",
        "manylinux_2_17_",
        "manylinux_02_17",
        "manylinux_2_17_X86",
        "musllinux1",
        pytest.param(f"manylinux_{'9' * 5000}_17_x86_64", id="more digits than int() takes"),
    ],
)
def test_no_floor(tag: str) -> None:
    """What is no policy is None for those who ask, and an error for those who insist."""
    assert policy.parse_floor(tag) is None
    with pytest.raises(BadOption, match="no manylinux or musllinux policy"):
        policy.floor(tag)


@given(st.sampled_from(["manylinux", "musllinux"]), st.integers(0, 99), st.integers(0, 99))
def test_floor_round_trip(prefix: str, major: int, minor: int) -> None:
    """A floor is written as it was read."""
    assert str(policy.floor(f"{prefix}_{major}_{minor}_s390x")) == f"{prefix}_{major}_{minor}_s390x"


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("manylinux1", "manylinux_2_5"),
        ("manylinux_2_11_x86_64", "manylinux_2_5"),
        ("manylinux2014_aarch64", "manylinux_2_17"),
        ("manylinux_2_30_x86_64", "manylinux_2_28"),
        ("manylinux_2_99", "manylinux_2_41"),
        ("musllinux_1_2_x86_64", "musllinux_1_2"),
    ],
)
def test_policy_for(tag: str, name: str) -> None:
    """The newest policy at or below the tag gives the lists."""
    assert policy.policy_for(tag).name == name


@pytest.mark.parametrize("tag", ["manylinux_2_4", "manylinux_2_5_aarch64", "manylinux_2_28_vax"])
def test_no_policy_for(tag: str) -> None:
    """Older than every policy, or of an unknown architecture: an error, not a guess."""
    with pytest.raises(BadOption):
        policy.policy_for(tag)


def test_limits() -> None:
    """Symbol versions are judged by number, by name, and not at all where no policy speaks."""
    limits = policy.policy_for("manylinux_2_28").limits["x86_64"]
    assert limits.allows("GLIBC_2.28")
    assert limits.allows("GLIBC_2.2.5")
    assert not limits.allows("GLIBC_2.29")
    assert not limits.allows("GLIBC_PRIVATE")
    assert limits.allows("CXXABI_TM_1")
    assert limits.allows("OPENSSL_3.0.0")
    oldest = policy.policy_for("manylinux1").limits["x86_64"]
    assert not oldest.allows("ZLIB_1.2.0")


def test_policies_only_grow() -> None:
    """PEP 600: whatever a policy allows, every newer one of its libc allows."""
    found = policy.load_policies().policies
    for older in found:
        for newer in found:
            if older.libc == newer.libc and older.version < newer.version:
                assert older.sonames <= newer.sonames
                assert older.priority > newer.priority


@pytest.mark.parametrize(
    "text", ["", "1.", ".1", "1..2", "x", "\u00b2", "9" * 5000, "2." + "9" * 5000]
)
def test_no_version_number(text: str) -> None:
    """What is no dotted numbers, or too long for a version, is None: ELF files may say anything."""
    assert policy.version_number(text) is None
