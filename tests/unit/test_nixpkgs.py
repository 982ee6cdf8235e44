"""Libraries are traced to nixpkgs attributes, and what is to be pasted says what is meant."""

from __future__ import annotations

import re
import subprocess

import pytest
from tests.support.world import elf, tree

from nix_manylinux.base.patterns import IgnorePattern, exact_pattern
from nix_manylinux.base.values import replace
from nix_manylinux.data import read_sonames
from nix_manylinux.nix import packages as nixpkgs
from nix_manylinux.nix.advice import packages_block, paste_block
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.resolve.plan import Problem
from nix_manylinux.target.policy import load_policies
from nix_manylinux.wheel.metadata import Distribution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("soname", "kind", "attribute"),
    [
        ("libz.so.1", "exact", "zlib"),
        ("libstdc++.so.6", "exact", "stdenv.cc.cc.lib"),
        ("libX11.so.6", "exact", "libx11"),
        ("libgomp.so.1.0.0", "file", "stdenv.cc.cc.lib"),
        ("libodbc.so", "file", "unixodbc"),
        ("libtbb.so.2", "other version", "onetbb"),
        ("libsqlite3.so", "file", "sqlite"),
        ("libssl.so", "file", "openssl"),
        ("libcrypto.so", "file", "openssl"),
        ("libvulkan.so", "file", "vulkan-loader"),
        ("libEGL.so", "file", "libGL"),
        ("libicuuc.so", "file", "icu"),
        ("libgit2.so", "file", "libgit2.lib"),
        ("libnetcdf.so", "file", "netcdf"),
        ("libboost_atomic.so", "file", "boost"),
        ("libjxl_cms.so", "file", "libjxl"),
        ("libudev.so", "file", "udev"),
        ("libdrm.so", "file", "libdrm"),
        ("libyuv.so", "exact", "libyuv"),
        ("libwebrtc.so", "exact", "livekit-libwebrtc"),
        ("libc.so", "exact", "musl"),
        ("libssl.so.10", "other version", "openssl"),
        ("libssl.so.1.0.0", "other version", "openssl_1_1"),
        ("libicui18n.so.68", "other version", "icu67"),
        ("libcuda.so.1", "driver", ""),
        ("libnvidia-ml.so.1", "driver", ""),
        ("libpulsee.so.0", "similar", ""),
        ("libmimerapi.so", "none", ""),
        ("libgfortran-040039e1.so.5.0.0", "none", ""),
        ("libgomp-98b21ff3.so.1", "none", ""),
        ("plugin", "none", ""),
        ("", "none", ""),
    ],
)
def test_suggest(soname: str, kind: str, attribute: str) -> None:
    """Every way of being known, or nearly known, or not known, is told apart."""
    found = nixpkgs.suggest(soname)
    assert (found.kind, found.attribute) == (kind, attribute)
    assert nixpkgs.explain(found)


def test_old_x_name() -> None:
    """The X libraries' attributes are given by their new names, the old ones beside them."""
    found = nixpkgs.suggest("libX11.so.6")
    assert found.old_attribute == "xorg.libX11"
    assert nixpkgs.explain(found) == "libx11; xorg.libX11 in older nixpkgs"


@pytest.mark.parametrize(
    ("soname", "words"),
    [
        ("libcublas.so.12", "unfree"),
        ("libssl.so.1.1", "insecure"),
        ("libtbb.so.2", "libtbb.so.12 (onetbb): another ABI"),
        ("libcuda.so.1", "graphics driver"),
        ("libgfortran-040039e1.so.5.0.0", "copy of libgfortran.so.5.0.0"),
        ("libmimerapi.so", "nowhere in nixpkgs"),
        ("libvulkan_intel.so", "comes with the host's graphics driver"),
        ("libpulsee.so.0", "similar names: libpulse.so.0"),
        ("libgomp.so.1.0.0", "whose soname is libgomp.so.1"),
    ],
)
def test_what_is_to_be_minded(soname: str, words: str) -> None:
    """Unfree, insecure, another version, a driver's, a graft, a likeness: each is said."""
    assert words in nixpkgs.explain(nixpkgs.suggest(soname))


def test_every_row_is_found() -> None:
    """Each row that has an attribute leads to it, but for what is no provider's."""
    lost = {
        row.soname: row.attr
        for row in read_sonames().values()
        if row.attr
        and not (found := nixpkgs.suggest(row.soname)).is_sure
        and found.kind not in {"wheel", "driver"}
    }
    others = {name: attr for name, attr in lost.items() if not re.search(r"-[0-9a-f]{8}\.so", name)}
    assert len(others) < 115  # half of them are Open5GS's and Glamorous Toolkit's own
    # Of everything that the policies name nothing is among them.
    assert not others.keys() & {name for p in load_policies().policies for name in p.sonames}


@pytest.mark.parametrize(
    ("soname", "application", "library"),
    [
        ("libcrypto.so.1.0.0", "mailspring", "openssl"),
        ("libgit2.so.1.1", "glamoroustoolkit", "libgit2"),
        ("libnetcdf.so.19", "pdi", "netcdf"),
        ("libsecp256k1.so.0", "digitalbitbox", "secp256k1"),
        ("libspeex.so.2", "pjsip", "speex"),
        ("libavcodec.so.59", "servarr-ffmpeg", "ffmpeg"),
        ("libdwarf.so.0", "orbuculum", "libdwarf"),
        ("libspdlog.so.1.15", "tt-metal", "spdlog"),
    ],
)
def test_private_copies_are_no_providers(soname: str, application: str, library: str) -> None:
    """What an application has for itself is never offered; the library's own package is named."""
    assert read_sonames()[soname].attr == application
    found = nixpkgs.suggest(soname)
    assert not found.is_sure
    assert application not in nixpkgs.explain(found)
    assert library in nixpkgs.explain(found)


@pytest.mark.parametrize(
    ("soname", "told"),
    [
        ("libffmpeg.so", "nowhere in nixpkgs"),
        ("libxul.so", "nowhere in nixpkgs"),
        ("libjava.so", "zulu"),
        ("libm.so", "in nixpkgs it is libm.so.6"),
        ("libparpack.so", "in nixpkgs it is libparpack.so.2"),
        ("libfdcore.so.1.5.0", "nixpkgs has only libfdcore.so"),
    ],
)
def test_what_programs_bring_of_others(soname: str, told: str) -> None:
    """A run-time environment that a program comes with is no provider; its maker is, if any."""
    found = nixpkgs.suggest(soname)
    assert told in nixpkgs.explain(found)
    assert read_sonames()[soname].attr not in nixpkgs.explain(found)


@pytest.mark.parametrize(
    "soname",
    ["libasound.so.2", "libgobject-2.0.so.0", "libkrb5.so.26", "libudev.so.1", "libcom_err.so.2"],
)
def test_packages_of_another_name_are_providers(soname: str) -> None:
    """A package need not be called like its library."""
    assert nixpkgs.suggest(soname).attribute.startswith(read_sonames()[soname].attr)


def test_a_namesake_is_not_advised() -> None:
    """No wheel means the client of Internet Relay Chat."""
    found = nixpkgs.suggest("libirc.so")
    assert (found.is_sure, found.attribute) == (False, "")
    assert "Intel's compilers" in nixpkgs.explain(found)


def test_python_packages_bring_wheels() -> None:
    """A library of a Python package of nixpkgs, built for one Python, is no build input."""
    found = nixpkgs.suggest("libeigenpy.so")
    assert found.attribute == ""
    assert "the Python package eigenpy" in nixpkgs.explain(found)


WANTED = [
    Problem(name="libz.so.1", wanted_by=("a.so", "b.so")),
    Problem(name="libX11.so.6", wanted_by=("a.so",)),
    Problem(name="libX11-xcb.so.1", wanted_by=("a.so",)),
    Problem(name="libmimerapi.so", wanted_by=("Qt/plugins/sqldrivers/libqsqlmimer.so",)),
    Problem(name="libtbb.so.2", wanted_by=("a.so",)),
]


def test_paste_in_a_build() -> None:
    """In a build: attributes once each, what nobody has to be ignored, the rest as comments."""
    lines = str(paste_block(WANTED, Adviser(), in_build=True)).splitlines()
    assert lines[:6] == [
        "buildInputs = [ libx11 zlib ];",
        "manylinuxIgnoreMissingDeps = [",
        '  "Qt/plugins/sqldrivers/libqsqlmimer.so:libmimerapi.so"',
        '  "a.so:libtbb.so.2"',
        "];",
        "# in older nixpkgs: xorg.libX11 for libx11",
    ]
    assert all(line.startswith("# ") for line in lines[5:])
    assert "# wanted only by plugins: libmimerapi.so" in lines


def test_paste_outside_a_build() -> None:
    """Outside a build: options that a shell splits as they are meant, outputs spelt."""
    text = str(paste_block(WANTED, Adviser(), in_build=False))
    build = 'nix-build() { from=$1; shift 3; for a; do [ "$a" = -A ] || echo "/$from-$a"; done; }'
    script = f"{build}\nset -- {text}\nprintf '%s\\n' \"$@\""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "--libs=/<nixpkgs>-libx11.out/lib",
        "--libs=/<nixpkgs>-zlib.out/lib",
        "--ignore-missing",
        "Qt/plugins/sqldrivers/libqsqlmimer.so:libmimerapi.so",
        "--ignore-missing",
        "a.so:libtbb.so.2",
    ]


def test_paste_what_does_not_fit() -> None:
    """Files for other machines can be allowed by their folders; what is too old gets advice."""
    labels = ("lib/python3.11/site-packages/a/x.so", "a/b/y.so", "z.so", "q/[1].so")
    unfit = [
        Problem(name="libcrypto.so.3", wanted_by=("a.so",), reason="has no version OPENSSL_3.4.0"),
        Problem(name="machine aarch64", wanted_by=labels, reason="it is for aarch64"),
    ]
    nix = str(paste_block([], Adviser(), in_build=True, unfit=unfit))
    assert nix.startswith('manylinuxAllowForeign = [ "a/*" "q/[[]1].so" "z.so" ];\n# ')
    assert "newer nixpkgs" in nix
    assert "manylinuxExclude" in nix
    shell = str(paste_block([], Adviser(), in_build=False, unfit=unfit[1:]))
    assert shell.startswith("--allow-foreign 'a/*' --allow-foreign 'q/[[]1].so' --allow-foreign z")
    assert "newer nixpkgs" not in shell


def test_paste_nothing_for_libraries_outside() -> None:
    """What a library of --libs wants is on its own search path or nowhere: no option adds it."""
    beyond = [
        Problem(name="libexpat.so.1", wanted_by=("/usr/lib/libfontconfig.so.1",), reason="no path"),
        Problem(name="libz.so.1", wanted_by=("/usr/lib/libpng16.so.16",)),
    ]
    text = str(paste_block(beyond, Adviser(), in_build=False))
    assert text.startswith("# wanted only outside of the tree: libexpat.so.1, libz.so.1. Libraries")
    assert "--ignore-missing SONAME" in text
    assert "nix-build" not in text
    both = Problem(name="libz.so.1", wanted_by=("/usr/lib/libpng16.so.16", "a.so"))
    assert "-A zlib.out" in str(paste_block([both], Adviser(), in_build=False))


def test_paste_what_comes_later() -> None:
    """What a wheel has that needs this one is no input, and is not given up either."""
    facts = tree({"plugin.so": elf("libQt6Multimedia.so.6", "libQt6Core.so.6")})
    own = Distribution(folder="x-1.dist-info", name="PySide6_Essentials", version="1")
    adviser = Adviser([replace(facts, distributions=(own,))])
    wanted = [Problem(name="libQt6Multimedia.so.6", wanted_by=("plugin.so",))]
    text = str(paste_block(wanted, adviser, in_build=True))
    assert text.startswith('manylinuxProvidedLater = [ "libQt6Multimedia.so.6" ];\n')
    assert "# libQt6Multimedia.so.6: in the wheel pyside6-addons, which needs this one" in text
    assert "Wheels are given by" not in text
    options = str(paste_block(wanted, adviser, in_build=False))
    assert options.startswith("--provided-later libQt6Multimedia.so.6")
    at_hand = Adviser([replace(facts, distributions=(own,))], at_hand=["pyside6-addons"])
    assert "ProvidedLater" not in str(paste_block(wanted, at_hand, in_build=True)).split("\n")[0]


def test_paste_no_second_copy() -> None:
    """What is built with libraries that the wheel brings itself is not to be taken from nixpkgs."""
    facts = tree({
        "Qt/lib/libQt6Core.so.6": elf(soname="libQt6Core.so.6"),
        "Qt/qml/libpdf.so": elf("libQt6Pdf.so.6", "libQt6PdfQuick.so.6", "libz.so.1"),
    })  # fmt: skip
    wanted = [
        Problem(name=name, wanted_by=("Qt/qml/libpdf.so",))
        for name in ("libQt6Pdf.so.6", "libQt6PdfQuick.so.6", "libz.so.1")
    ]
    text = str(paste_block(wanted, Adviser([facts]), in_build=False))
    assert "kdePackages.qtwebengine" not in text
    assert "-A zlib.out" in text
    assert "--ignore-missing Qt/qml/libpdf.so:libQt6Pdf.so.6" in text
    said = "# libQt6Pdf.so.6, libQt6PdfQuick.so.6: in nixpkgs only with the other libraries of"
    assert text.count(said) == 1
    assert "kdePackages.qtwebengine" in str(paste_block(wanted, Adviser(), in_build=False))
    cuda = tree({"libcusparse.so.12": elf("libnvJitLink.so.12", soname="libcusparse.so.12")})
    wanted = [Problem(name="libnvJitLink.so.12", wanted_by=("libcusparse.so.12",))]
    assert "libnvjitlink" in str(paste_block(wanted, Adviser([cuda]), in_build=True))


def test_paste_wheels() -> None:
    """A required wheel is named, neither ignored nor replaced, unless it is there without it."""
    facts = tree({"t/x.so": elf("libtorch_cuda.so", "libz.so.1")})
    facts = replace(facts, distributions=(replace(facts.distributions[0], requires=("torch",)),))
    wanted = [Problem(name="libtorch_cuda.so", wanted_by=("t/x.so",))]
    text = str(paste_block(wanted, Adviser([facts]), in_build=False))
    assert "--ignore-missing" not in text
    assert "# libtorch_cuda.so: expected from the required wheel torch\n" in text
    there = str(paste_block(wanted, Adviser([facts], at_hand=["torch"]), in_build=False))
    assert "--ignore-missing t/x.so:libtorch_cuda.so" in there


def test_a_word_in_the_names_of_many_wheels_tells_none() -> None:
    """All of NVIDIA's begin with it, and none of them has what the driver's package has."""
    many = [f"nvidia-{each}-cu12" for each in ("cublas", "cudnn", "cufft", "curand")]
    few = Adviser(required=many[:1]).advise("libnvidia-odd.so.1")
    assert few.wheels == ("nvidia-cublas-cu12",)
    assert not Adviser(required=many).advise("libnvidia-odd.so.1").wheels
    assert Adviser(required=many).advise("libcufftodd.so.1").wheels == ("nvidia-cufft-cu12",)


def test_wheels_are_required_by_who_needs_the_library(tmp_path: Path) -> None:
    """In an environment others' requirements say nothing: fonttools' brotli of Qt's library."""
    facts = tree(
        {"site/Qt/libnet.so": elf("libbrotlidec.so.1"), "site/f.so": elf()}, root=str(tmp_path)
    )
    fonts = Distribution(
        folder="site/fonttools-1.dist-info", name="fonttools", version="1", requires=("brotli",)
    )
    qt = Distribution(folder="site/qt-1.dist-info", name="qt", version="1")
    for each, listed in ((fonts, "f.so,,"), (qt, '"Qt/libnet.so",,')):
        (tmp_path / each.folder).mkdir(parents=True)
        (tmp_path / each.folder / "RECORD").write_text(f"{listed}\n")

    def asked(*distributions: Distribution) -> str:
        among = replace(facts, distributions=distributions)
        return Adviser([among]).advise("libbrotlidec.so.1").kind

    assert asked(fonts, qt) == "exact"
    assert asked(fonts, replace(qt, requires=("brotli",))) == "wheel"
    (tmp_path / qt.folder / "RECORD").unlink()  # whose it is, is not known then
    assert asked(fonts, qt) == "wheel"


@pytest.mark.parametrize(
    ("soname", "required", "told"),
    [
        ("libeckit_codec.so", "eckitlib", "expected from the required wheel eckitlib"),
        ("libTKBO.so.7.8.1", "netgen-occt", "expected from the required wheel netgen-occt"),
        ("libTKDE.so.7.8.1", "netgen-occt", "expected from the required wheel netgen-occt"),
        ("libTKBO.so.7.8.1", "occt-netgen", "nixpkgs has only libTKBO.so.7.9 "),
        ("libz.so.1", "zlib", ""),  # a name of one letter is in many a name
    ],
)
def test_wheels_are_called_like_a_library_or_its_package(
    soname: str, required: str, told: str
) -> None:
    """By its name with "lib" behind it (eckitlib), or by that of the package that nixpkgs has."""
    found = Adviser(required=[required]).advise(soname)
    assert told in found.notes[0] if told else not found.notes
    assert (found.kind == "wheel") == told.startswith("expected")


def test_wheels_that_a_search_path_leads_to() -> None:
    """A required wheel's folder on it tells whose a library is that nixpkgs has not (pvxslibs)."""
    made = elf("libCom.so.7.0.10", "libz.so.1", runpath="$ORIGIN:$ORIGIN/../../Epics_Core/lib")
    facts = tree({"pvxs/lib/libpvxs.so": made})
    adviser = Adviser([facts], required=["epics-core", "numpy"])
    assert adviser.advise("libCom.so.7.0.10").wheels == ("epics-core",)
    assert adviser.advise("libz.so.1").attribute == "zlib"
    assert not Adviser([facts], required=["numpy"]).advise("libCom.so.7.0.10").wheels


def test_paste_one_of_several() -> None:
    """Alternatives are never asked for all together, in a build or outside of one."""
    wanted = [
        Problem(name=f"libcublas.so.{version}", wanted_by=(f"b/libb_cuda{version}.so",))
        for version in (12, 13)
    ]
    nix = str(paste_block(wanted, Adviser(), in_build=True))
    assert nix.startswith(
        "buildInputs = [ cudaPackages_12.libcublas.lib ];\n"
        'manylinuxExclude = [ "b/libb_cuda13.so" ];\n# Built several times, and one loads. Taken'
    )
    shell = str(paste_block(wanted, Adviser(), in_build=False))
    assert "cudaPackages_13" not in shell.partition("#")[0]
    assert "--exclude b/libb_cuda13.so" in shell


def test_paste_for_dlopen() -> None:
    """What is loaded at run time: each package once, each name, a driver's without a package."""
    names = ["libX11-xcb.so.1", "libX11.so.6", "libcuda.so.1"]
    assert str(
        paste_block([], Adviser(), in_build=True, named=True, runtime=names)
    ).splitlines() == [
        "buildInputs = [ libx11 ];",
        'manylinuxRuntimeLibs = [ "libX11-xcb.so.1" "libX11.so.6" "libcuda.so.1" ];',
    ]
    options = str(paste_block([], Adviser(), in_build=False, named=True, runtime=names))
    assert options.count("-A libx11.out") == 1
    assert options.endswith(
        "--runtime-libs libX11-xcb.so.1 --runtime-libs libX11.so.6 --runtime-libs libcuda.so.1"
    )
    found = map(Adviser().advise, names)
    assert packages_block(found, in_build=True) == ["buildInputs = [ libx11 ];"]


def test_paste_nothing() -> None:
    """Nothing is missing: nothing is to be pasted; a driver's library is nobody's to provide."""
    assert str(paste_block([], Adviser(), in_build=True)) == ""
    driver = [Problem(name="libcuda.so.1", wanted_by=("a.so",))]
    assert str(paste_block(driver, Adviser(), in_build=True)) == ""


def test_long_list() -> None:
    """A list that does not fit on a line stands one item a line."""
    names = ["libz.so.1", "libX11.so.6", "libXext.so.6", "libGL.so.1", "libstdc++.so.6"]
    names += ["libglib-2.0.so.0", "libSM.so.6", "libICE.so.6", "libxcb.so.1", "libdbus-1.so.3"]
    problems = [Problem(name=name, wanted_by=("a.so",)) for name in names]
    lines = str(paste_block(problems, Adviser(), in_build=True)).splitlines()
    assert lines[0] == "buildInputs = ["
    assert "  stdenv.cc.cc.lib" in lines
    assert "];" in lines


def test_pattern_matches_itself_only() -> None:
    """A soname with a pattern's characters is written so that it matches only itself."""
    odd = [Problem(name="lib[a]*.so", wanted_by=("a?.so",))]
    block = str(paste_block(odd, Adviser(), in_build=True))
    assert '"a[?].so:lib[[]a][*].so"' in block


@pytest.mark.parametrize(
    ("labels", "pattern"),
    [
        (("lib/python3.11/site-packages/Qt/plugins/one.so",), "Qt/plugins/one.so:libx.so.1"),
        (("Qt/plugins/a/one.so", "Qt/plugins/b/two.so"), "Qt/plugins/*:libx.so.1"),
        (("Qt/one.so", "other/two.so"), "libx.so.1"),
    ],
)
def test_patterns_are_scoped_by_file(labels: tuple[str, ...], pattern: str) -> None:
    """An entry that is to be pasted covers the file, or the folder, that wants the library."""
    assert exact_pattern("libx.so.1", labels) == pattern
    parsed = IgnorePattern.parse(pattern)
    assert all(parsed.covers(label, "libx.so.1") for label in labels)
    assert parsed.covers("elsewhere/three.so", "libx.so.1") == (":" not in pattern)
