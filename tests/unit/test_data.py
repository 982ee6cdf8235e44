"""The data files are whole, and their readers give them back."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nix_manylinux import data
from nix_manylinux.target.policy import load_policies


def test_libraries() -> None:
    """Glibc's own libraries, the driver's and the hwcaps folders are told apart."""
    libraries = data.read_libraries()
    assert {"libc.so.6", "ld-linux-x86-64.so.2", "libm.so.6"} <= libraries.glibc
    assert "libstdc++.so.6" not in libraries.glibc
    assert "libcuda.so.1" in libraries.driver
    assert not libraries.glibc & libraries.driver
    assert libraries.driver_directories["default"] == "/run/opengl-driver/lib"
    assert libraries.driver_directories["i686"] == "/run/opengl-driver-32/lib"
    assert libraries.hwcaps["x86_64"][0] == "glibc-hwcaps/x86-64-v4"


@pytest.mark.parametrize(
    "read",
    [
        *(data.read_libraries, data.read_policies, data.read_stable_abi, data.read_sonames),
        *(data.read_xorg_renames, data.read_nixpkgs_names, data.read_families, load_policies),
    ],
)
def test_each_file_is_read_once(read: Callable[[], object]) -> None:
    """Who needs a fact asks for it where it is needed: no caller hands it on to spare a reading."""
    assert read() is read()


def test_sonames() -> None:
    """Every row of the soname table is of the documented shape."""
    table = data.read_sonames()
    assert len(table) > 12_000
    assert table["libz.so.1"].attr == "zlib"
    assert table["libGL.so.1"].attr == "libGL" or table["libGL.so.1"].attr == "libglvnd"
    for soname, row in table.items():
        assert row.soname == soname
        assert row.note in {"", "driver", "unfree", "insecure", "no provider"}
        assert bool(row.attr) == (row.note not in {"driver", "no provider"})
        assert not row.attr or row.output


def test_rows_of_sonames_are_easy_to_change() -> None:
    """They are sorted as bytes, each once, and the file holds no time."""
    packed = Path(data.data_path("nixpkgs-sonames.tsv.gz")).read_bytes()
    assert packed[4:8] == bytes(4), "gzip -n"
    _, *rows = gzip.decompress(packed).splitlines()
    assert rows == sorted(rows)
    assert len(rows) == len(data.read_sonames())


def test_sonames_of_every_policy_are_known() -> None:
    """Each soname that a manylinux policy allows is glibc's own or has a row with an attribute."""
    table = data.read_sonames()
    libc = data.read_libraries().glibc
    policies = data.read_policies()["policies"]
    allowed = {
        soname
        for name, policy in policies.items()
        if name.startswith("manylinux")
        for soname in policy["sonames"]
    }
    assert allowed
    assert {soname for soname in allowed - libc if not table[soname].attr} == set()


def test_xorg_renames() -> None:
    """New names are plain attributes, old ones lie in the xorg set."""
    renames = data.read_xorg_renames()
    assert renames["libx11"] == "xorg.libX11"
    assert all(re.fullmatch(r"[a-z][a-z0-9_-]*", new) for new in renames)
    assert all(old.startswith("xorg.") for old in renames.values())


def test_policies_have_what_their_notes_promise() -> None:
    """Every policy lists sonames and, for each architecture, highest versions."""
    raw = data.read_policies()
    for policy in raw["policies"].values():
        assert policy["sonames"]
        for limits in policy["arch"].values():
            assert set(limits) <= {"max", "extra"}
            assert "max" in limits


def test_what_nixpkgs_has_dropped_or_renamed() -> None:
    """No row names what nixpkgs' aliases say is gone; and libudev is by the name that it takes."""
    table = data.read_sonames()
    gone = {
        *("boost177", "classads", "encfs", "falcon", "icu69", "kgraphviewer", "ktextaddons"),
        *("libgestures", "librest_1_0", "libva1-minimal", "mysql80", "openzwave", "podofo_0_9"),
        *("podofo_0_10", "percona-server_8_0", "polyml57", "pothos", "uhttpmock_1_0", "varnish60"),
        *("wlroots_0_18", "wolfssl", "xxHash"),
    }
    named = {name for row in table.values() for name in (row.attr, *row.others)}
    assert not gone & named
    assert table["libmysqlclient.so.24"].attr == "mysql84"
    assert table["libxxhash.so.0"].attr == "xxhash"
    assert table["libudev.so.1"].attr == "udev"
    assert table["libsystemd.so.0"].attr == "systemdLibs"
