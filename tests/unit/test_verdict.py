"""The policy that files keep is found from their needs, versions and search paths."""

from __future__ import annotations

import pytest

from nix_manylinux.base.values import replace
from nix_manylinux.elf.facts import ElfFacts, ElfKind, Machine, VersionNeed
from nix_manylinux.report.verdict import Breach, Verdict, verdict
from nix_manylinux.tree.facts import TreeFacts, TreeFile
from nix_manylinux.wheel.metadata import Distribution

X86_64 = Machine(number=62, bits=64, endian="little")
AARCH64 = Machine(number=183, bits=64, endian="little")
GLIBC = "libc.so.6"


def file(
    path: str,
    *needed: str,
    versions: tuple[tuple[str, str], ...] = (),
    rpath: str | None = None,
    runpath: str | None = None,
    machine: Machine = X86_64,
) -> TreeFile:
    """Make one library of a tree."""
    facts = ElfFacts(
        machine=machine,
        kind=ElfKind.LIBRARY,
        needed=needed,
        needs=tuple(VersionNeed(library=library, version=name) for library, name in versions),
        rpath=rpath,
        runpath=runpath,
    )
    return TreeFile(path=path, label=path, facts=facts, size=1, mode=0o100644)


def judge(*files: TreeFile, claimed: str = "cp311-cp311-manylinux_2_17_x86_64") -> Verdict:
    """Judge made-up files under a claim."""
    return verdict(TreeFacts(root="/", files=files), claimed=[claimed])


def test_symbol_versions() -> None:
    """The highest version decides; what is too new for the claim is told with its files."""
    found = judge(
        file("a.so", GLIBC, versions=((GLIBC, "GLIBC_2.2.5"),)),
        file("b.so", GLIBC, versions=((GLIBC, "GLIBC_2.27"),)),
    )
    assert found.kept == "manylinux_2_27_x86_64"
    breach = Breach(library=GLIBC, version="GLIBC_2.27", wanted_by=("b.so",))
    assert found.breaches == (breach,)
    assert found.obstacles == (breach,)


def test_older_than_claimed() -> None:
    """Files that would keep an older policy than the claimed one break nothing."""
    found = judge(file("a.so", GLIBC, "libX11.so.6"))
    assert found.kept == "manylinux_2_5_x86_64"
    assert found.aliases == ("manylinux1_x86_64",)
    assert found.breaches == found.obstacles == ()


def test_soname_of_a_newer_policy() -> None:
    """Libmvec came with manylinux_2_24, whatever the symbol versions say."""
    found = judge(file("a.so", GLIBC, "libmvec.so.1"))
    assert (found.kept, found.by_versions) == ("manylinux_2_24_x86_64", "manylinux_2_5_x86_64")


def test_outside() -> None:
    """A library that neither policy nor wheel has breaks them all: plain linux."""
    found = judge(file("a.so", GLIBC, "libxcb.so.1"))
    assert found.kept == "linux_x86_64"
    assert found.breaches == (Breach(library="libxcb.so.1", version="", wanted_by=("a.so",)),)


def test_only_a_linkers_name_is_a_linkers() -> None:
    """Every policy allows ld.so, and no library that has its name within its own."""
    strange = "libld-linux-tools.so.1"
    found = judge(file("a.so", GLIBC, "ld-linux-x86-64.so.2", "ld64.so.1", strange))
    assert found.breaches == (Breach(library=strange, version="", wanted_by=("a.so",)),)


@pytest.mark.parametrize("origin", ["$ORIGIN/../x.libs", "${ORIGIN}/../x.libs"])
def test_grafted(origin: str) -> None:
    """What the search path finds in the wheel is not outside; its own needs are followed."""
    grafted = file("x.libs/libfoo-12345678.so.1", GLIBC, "libbar-12345678.so.1")
    last = file("x.libs/libbar-12345678.so.1", GLIBC)
    extension = file("x/a.so", "libfoo-12345678.so.1", rpath=origin)
    assert judge(extension, grafted, last).kept == "manylinux_2_5_x86_64"
    assert judge(extension, grafted).breaches[0].library == "libbar-12345678.so.1"
    elsewhere = file("x/a.so", "libfoo-12345678.so.1", runpath="/opt/lib")
    assert judge(elsewhere, grafted, last).kept == "linux_x86_64"


def test_loader_is_always_allowed() -> None:
    """No policy lists the dynamic linker, and none forbids it or its versions."""
    loader = "ld-linux-x86-64.so.2"
    found = judge(file("a.so", GLIBC, loader, versions=((loader, "GLIBC_2.99"),)))
    assert found.kept == "manylinux_2_5_x86_64"


def test_other_machine_is_left_out() -> None:
    """A file for another machine does not count, as it doesn't for auditwheel."""
    foreign = file("b.so", "libfoo.so.1", machine=AARCH64)
    assert judge(file("a.so", GLIBC), foreign).kept == "manylinux_2_5_x86_64"


def test_oldest_of_the_architecture() -> None:
    """An architecture's oldest policy is its own: aarch64 begins with 2.17, and allows 2.18."""
    found = judge(
        file("a.so", GLIBC, versions=((GLIBC, "GLIBC_2.18"),), machine=AARCH64),
        claimed="cp311-cp311-manylinux2014_aarch64",
    )
    assert found.kept == "manylinux_2_17_aarch64"


def test_musl() -> None:
    """Musl's policies differ in no way that files show: the claim stands, or none does."""
    claim = "cp311-cp311-musllinux_1_2_x86_64"
    libc = "libc.musl-x86_64.so.1"
    assert judge(file("a.so", libc), claimed=claim).kept == "musllinux_1_2_x86_64"
    assert judge(file("a.so", libc, "libz.so.1"), claimed=claim).kept == "musllinux_1_2_x86_64"
    assert judge(file("a.so", libc, "libgomp.so.1"), claimed=claim).kept == "linux_x86_64"


def test_musl_by_its_own_name() -> None:
    """Its linker answers to libc.so, whoever links to it (Rust does): primp for armv7l."""
    arm = Machine(number=40, bits=32, endian="little", abi="hard")
    found = judge(
        file("p.so", "libc.so", machine=arm),
        file("q.so", "libc.musl-armv7.so.1", machine=arm),
        claimed="cp310-abi3-musllinux_1_2_armv7l",
    )
    assert found.kept == "musllinux_1_2_armv7l"


def test_relative_relocations() -> None:
    """No glibc before 2.36 relocates them, marked or not: manylinux_2_35 would crash."""
    plain = file("a.so", GLIBC)
    relative = replace(plain, facts=replace(plain.facts, relative_relocations=True))
    found = judge(relative, claimed="cp311-cp311-manylinux_2_35_x86_64")
    assert found.kept == "manylinux_2_36_x86_64"
    version = "GLIBC_ABI_DT_RELR"
    assert found.breaches == (Breach(library=GLIBC, version=version, wanted_by=("a.so",)),)


def test_claims_of_wheel() -> None:
    """Without tags given, WHEEL's own are the claim; without any, the files decide."""
    distribution = Distribution(
        folder="a-1.dist-info", name="a", version="1", tags=("py3-none-manylinux1_x86_64",)
    )
    files = (file("a.so", GLIBC, versions=((GLIBC, "GLIBC_2.7"),)),)
    told = verdict(TreeFacts(root="/", files=files, distributions=(distribution,)))
    assert told.claimed == ("manylinux1_x86_64",)
    assert told.breaches
    untold = verdict(TreeFacts(root="/", files=files))
    assert (untold.kept, untold.claimed, untold.breaches) == ("manylinux_2_12_x86_64", (), ())


def test_nothing_to_judge() -> None:
    """A tree without ELF files fits any platform."""
    assert judge(claimed="py3-none-any").kept == "any"
