"""The rules of resolution, each with the case that it is there for."""

from __future__ import annotations

import pytest
from tests.support.world import (
    AARCH64,
    I686,
    LIBC,
    World,
    elf,
    of,
    outcomes,
    path_of,
    plan,
    program,
    target,
    tree,
)

from nix_manylinux.base.errors import BadElf, BadOption
from nix_manylinux.base.values import replace
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.resolve.plan import Options, refuse
from nix_manylinux.resolve.planner import plan_trees
from nix_manylinux.tree.libraries import LibraryIndex

A, B, C = "/nix/store/a/lib", "/nix/store/b/lib", "/nix/store/c/lib"


def test_rule_1_libc_is_left_to_the_default_path() -> None:
    """A soname of the libc gets no directory, even if a library directory has one too."""
    world = World({f"{A}/libm.so.6": elf(soname="libm.so.6"), f"{A}/libz.so.1": elf()})
    result = plan({"x.so": elf("libm.so.6", "libc.so.6")}, world, libs=(A,))
    assert outcomes(result, "x.so") == {"libm.so.6": "libc", "libc.so.6": "libc"}
    assert path_of(result, "x.so") == ()


def test_rule_1_a_library_beside_the_libc_is_not_the_libc() -> None:
    """A directory that holds every library there is (Debian's) is not the libc."""
    world = World({f"{LIBC}/libz.so.1": elf(soname="libz.so.1")})
    sonames = {"libc.so.6": f"{LIBC}/libc.so.6"}
    result = plan({"x.so": elf("libz.so.1")}, world, linker={"libc_sonames": sonames})
    assert outcomes(result, "x.so") == {"libz.so.1": "missing"}


def test_rule_1_keep_libc_turns_it_off() -> None:
    """With keep_libc a libc in the library directories is linked like any library."""
    world = World({f"{A}/libm.so.6": elf(soname="libm.so.6")})
    result = plan({"x.so": elf("libm.so.6")}, world, libs=(A,), keep_libc=True)
    assert outcomes(result, "x.so") == {"libm.so.6": "library"}
    assert path_of(result, "x.so") == (A,)


def test_rule_2_own_origin_entry_wins_over_a_nearer_copy() -> None:
    """The file's own `$ORIGIN` entry says which of two copies it means."""
    files = {
        "p/x.so": elf("liba.so.1", runpath="$ORIGIN/../q"),
        "p/liba.so.1": elf(soname="liba.so.1"),
        "q/liba.so.1": elf(soname="liba.so.1"),
    }
    result = plan(files)
    assert of(result, "p/x.so").resolutions[0].path == "/out/q/liba.so.1"
    assert not of(result, "p/x.so").edit


@pytest.mark.parametrize("spelling", ["${ORIGIN}/../q", "$ORIGIN/../q/", "$ORIGIN/../$LIB"])
def test_rule_2_knows_every_spelling(spelling: str) -> None:
    """Braces, a trailing slash and `$LIB` are what the loader takes, too."""
    files = {
        "p/x.so": elf("liba.so.1", runpath=spelling),
        "q/liba.so.1": elf(soname="liba.so.1"),
        "lib64/liba.so.1": elf(soname="liba.so.1"),
    }
    result = plan(files)
    where = "lib64" if "LIB" in spelling else "q"
    assert of(result, "p/x.so").resolutions[0].path == f"/out/{where}/liba.so.1"


def test_rule_3_nearest_directory_then_sorted_path() -> None:
    """Without an entry of its own a file takes the nearest copy, never the first listed."""
    files = {
        "a/deep/er/liba.so.1": elf(soname="liba.so.1"),
        "p/libs/liba.so.1": elf(soname="liba.so.1"),
        "p/x.so": elf("liba.so.1"),
        "p/libt/liba.so.1": elf(soname="liba.so.1"),
    }
    result = plan(files)
    assert of(result, "p/x.so").resolutions[0].path == "/out/p/libs/liba.so.1"
    assert path_of(result, "p/x.so") == ("$ORIGIN/libs",)


def test_rule_3_by_soname_under_another_file_name() -> None:
    """A library whose file name is not its soname is needed by its file name then."""
    files = {"x.so": elf("libfoo.so.1"), "libfoo-1.2.so": elf(soname="libfoo.so.1")}
    result = plan(files)
    assert of(result, "x.so").edit.replace_needed == (("libfoo.so.1", "libfoo-1.2.so"),)
    assert path_of(result, "x.so") == ("$ORIGIN",)
    assert not result.incompatible


def test_rule_4_a_cross_wheel_origin_entry() -> None:
    """`$ORIGIN/../../cublas/lib` leads to that folder of another wheel's site-packages."""
    site = "/nix/store/w/site-packages"
    world = World({
        f"{site}/nvidia/cublas/lib/libcublas.so.12": elf(soname="libcublas.so.12"),
        f"{site}/aaa/libcublas.so.12": elf(soname="libcublas.so.12"),
        f"{A}/libcublas.so.12": elf(soname="libcublas.so.12"),
    })  # fmt: skip
    files = {
        "sp/nvidia/cusolver/lib/x.so": elf("libcublas.so.12", rpath="$ORIGIN/../../cublas/lib")
    }
    result = plan({}, world, facts=tree(files, site="sp"), libs=(A,), python_libs=(site,))
    path = "sp/nvidia/cusolver/lib/x.so"
    assert outcomes(result, path) == {"libcublas.so.12": "wheel"}
    assert path_of(result, path) == (f"{site}/nvidia/cublas/lib",)
    assert of(result, path).edit.inherited


def test_rule_4_a_required_wheel() -> None:
    """The wheels that Requires-Dist names come before the library directories."""
    site = "/nix/store/w/site-packages"
    world = World({
        f"{site}/shiboken6/libshiboken6.so": elf(soname="libshiboken6.so"),
        f"{site}/Shiboken6-6.1.dist-info/RECORD": None,
        f"{A}/libshiboken6.so": elf(soname="libshiboken6.so"),
    })  # fmt: skip
    facts = tree({"x.so": elf("libshiboken6.so")}, requires=("shiboken6",))
    result = plan({}, world, facts=facts, libs=(A,), python_libs=(site,))
    assert outcomes(result, "x.so") == {"libshiboken6.so": "wheel"}


def test_rule_5_library_directories_in_the_order_given() -> None:
    """Two directories with one soname: the first given, whatever the names."""
    world = World({f"{A}/libz.so.1": elf(), f"{B}/libz.so.1": elf()})
    for order in ((A, B), (B, A)):
        result = plan({"x.so": elf("libz.so.1")}, world, libs=order)
        assert path_of(result, "x.so") == (order[0],)


def test_rule_5_opens_only_what_is_asked_for() -> None:
    """A library that nobody needs is never read."""
    world = World({f"{A}/lib{i}.so": elf() for i in range(1000)} | {f"{B}/libz.so.1": elf()})
    plan({"x.so": elf("libz.so.1")}, world, libs=(A, B))
    assert not [p for p in world.opened if p.startswith(A)]


def test_rule_6_a_driver_library_is_no_error_and_comes_last() -> None:
    """libcuda.so.1 gets the driver directory, behind everything else."""
    world = World({f"{A}/libz.so.1": elf()})
    result = plan(
        {"x.so": elf("libcuda.so.1", "libz.so.1")}, world, libs=(A,), append_rpath=("/opt/more",)
    )
    assert outcomes(result, "x.so")["libcuda.so.1"] == "driver"
    assert path_of(result, "x.so") == (A, "/opt/more", "/run/opengl-driver/lib")


@pytest.mark.parametrize("driver", ["/run/opengl-driver/lib", "/run/opengl-driver-32/lib", "/nv"])
def test_rule_6_a_driver_directory_that_is_there_stays(driver: str) -> None:
    """What addDriverRunpath has written is for dlopen: no DT_NEEDED speaks for it."""
    world = World({f"{A}/libz.so.1": elf()})
    file = elf("libz.so.1", runpath=f"{driver}:/opt/build:{A}")
    result = plan({"x.so": file, "y.so": elf(runpath=driver)}, world, libs=(A,), driver_dir="/nv")
    assert path_of(result, "x.so") == (A, driver)
    assert path_of(result, "y.so") == (driver,)
    assert not result.warnings


def test_rule_6_on_i686_the_driver_has_a_place_of_its_own() -> None:
    """NixOS keeps 32-bit drivers beside the others, as nixpkgs' addDriverRunpath has it."""
    result = plan({"x.so": elf("libcuda.so.1", machine=I686)}, linker={"machine": I686})
    assert path_of(result, "x.so") == ("/run/opengl-driver-32/lib",)


def test_rule_7_any_other_wheel_only_after_the_libraries() -> None:
    """A private libgomp of an unrelated wheel never beats gcc's; alone it is taken and told."""
    site = "/nix/store/w/site-packages"
    world = World({f"{site}/torch/lib/libgomp.so.1": elf(soname="libgomp.so.1")})
    result = plan({"x.so": elf("libgomp.so.1")}, world, python_libs=(site,))
    assert outcomes(result, "x.so") == {"libgomp.so.1": "wheel"}
    assert any("libgomp.so.1" in w for w in result.warnings)
    world.files[f"{A}/libgomp.so.1"] = elf(soname="libgomp.so.1")
    result = plan({"x.so": elf("libgomp.so.1")}, world, libs=(A,), python_libs=(site,))
    assert outcomes(result, "x.so") == {"libgomp.so.1": "library"}
    assert not result.warnings


def test_rule_8_provided_later_keeps_the_way_to_it() -> None:
    """A cycle between wheels: no error, and the entry that will lead there stays."""
    files = {"sp/a/x.so": elf("libb.so.1", runpath="$ORIGIN/../b:/dead")}
    result = plan({}, facts=tree(files, site="sp"), provided_later=("libb.so.1",))
    assert outcomes(result, "sp/a/x.so") == {"libb.so.1": "later"}
    assert path_of(result, "sp/a/x.so") == ("$ORIGIN/../b",)


def test_rule_9_missing_names_every_file() -> None:
    """All missing libraries at once, each with all that want it."""
    result = plan({"a.so": elf("libx.so", "liby.so"), "b.so": elf("libx.so")})
    told = {p.name: p.wanted_by for p in result.missing}
    assert told == {"libx.so": ("a.so", "b.so"), "liby.so": ("a.so",)}


def test_rule_9_ignored_is_scoped_by_file() -> None:
    """An ignore pattern lets a library be missing in the files that it names, no others."""
    files = {"sp/site-packages/qt/p.so": elf("libmysql.so.21"), "b.so": elf("libmysql.so.21")}
    result = plan(files, ignore_missing=("qt/*:libmysql.so*",))
    assert [p.wanted_by for p in result.missing] == [("b.so",)]


@pytest.mark.parametrize("pattern", ["*", "lib*", "*:*", "x:lib*", "lib[a-z]*", "?", ""])
def test_ignore_patterns_keep_a_literal_stem(pattern: str) -> None:
    """A pattern that covers everything is refused."""
    with pytest.raises(BadOption, match="literal part"):
        plan({"x.so": elf("liba.so")}, ignore_missing=(pattern,))


def test_an_ignore_entry_that_nobody_needs_is_an_error() -> None:
    """A misspelt or outlived entry does not stay silently."""
    options = Options(ignore_missing=("libnope.so",), exclude=("nothing/*", "x.so", "no?"))
    result = plan(
        {"x.so": elf(), "y.so": elf()},
        ignore_missing=options.ignore_missing,
        exclude=options.exclude,
    )
    said = r"no file needs .*: libnope\.so; no ELF file is .*: nothing/\*, no\?\n  remove it from"
    with pytest.raises(BadOption, match=rf"{said} manylinuxIgnoreMissingDeps .* and manylinuxExcl"):
        refuse(result, options)
    # What lets missing libraries pass lets that pass too.
    refuse(result, replace(options, missing="warn"))


def test_a_lenient_ignore_entry_may_be_unneeded() -> None:
    """What autoPatchelf never checked is a warning, not an error."""
    result = plan({"x.so": elf()}, ignore_if_missing=("libnope.so",))
    assert "no file needs it" in result.warnings[0]


def test_an_ignore_entry_that_resolved_is_a_warning() -> None:
    """What was found after all need not be ignored."""
    world = World({f"{A}/libz.so.1": elf()})
    result = plan({"x.so": elf("libz.so.1")}, world, libs=(A,), ignore_missing=("libz.so.1",))
    assert "libz.so.1" in result.warnings[0]
    assert outcomes(result, "x.so") == {"libz.so.1": "library"}


# -- what counts as a candidate -----------------------------------------------


def test_a_newer_libc_is_refused_by_name() -> None:
    """A file that needs GLIBC_2.38 on a 2.36 is incompatible, with file, library and version."""
    result = plan({"x.so": elf("libc.so.6", versions={"GLIBC_2.38": "libc.so.6"})})
    (problem,) = result.incompatible
    assert (problem.name, problem.wanted_by) == ("libc.so.6", ("x.so",))
    assert "GLIBC_2.38" in problem.reason
    assert "GLIBC_2.36" in problem.reason


def test_versions_are_checked_through_the_chain() -> None:
    """A libstdc++ that itself needs a newer libc is not taken; the next one is."""
    new = elf("libc.so.6", soname="libstdc++.so.6", versions={"GLIBC_2.38": "libc.so.6"})
    world = World({f"{A}/libstdc++.so.6": new})
    files = {"x.so": elf("libstdc++.so.6")}
    result = plan(files, world, libs=(A,))
    assert [p.name for p in result.incompatible] == ["libstdc++.so.6"]
    assert "GLIBC_2.38" in result.incompatible[0].reason
    world.files[f"{B}/libstdc++.so.6"] = elf(soname="libstdc++.so.6")
    result = plan(files, world, libs=(A, B))
    assert not result.incompatible
    assert path_of(result, "x.so") == (B,)


def test_a_library_that_lacks_a_version_is_passed_over() -> None:
    """The first directory's library lacks GLIBCXX_3.4.30, so the second's is taken."""
    world = World({
        f"{A}/libstdc++.so.6": elf(soname="libstdc++.so.6", defines=("GLIBCXX_3.4.20",)),
        f"{B}/libstdc++.so.6": elf(soname="libstdc++.so.6", defines=("GLIBCXX_3.4.30",)),
    })  # fmt: skip
    files = {"x.so": elf("libstdc++.so.6", versions={"GLIBCXX_3.4.30": "libstdc++.so.6"})}
    assert path_of(plan(files, world, libs=(A, B)), "x.so") == (B,)


def test_another_machine_is_no_candidate() -> None:
    """A library for aarch64 doesn't count, and is named as the reason."""
    world = World({f"{A}/libz.so.1": elf(machine=AARCH64)})
    result = plan({"x.so": elf("libz.so.1")}, world, libs=(A,))
    assert "is for aarch64" in result.missing[0].reason


def test_a_broken_library_is_no_candidate() -> None:
    """A truncated library is told, not taken, and not passed over in silence."""
    world = World({f"{A}/libz.so.1": BadElf("it is cut short")})
    result = plan({"x.so": elf("libz.so.1")}, world, libs=(A,))
    assert "cut short" in result.missing[0].reason


def test_a_foreign_file_is_an_error_unless_allowed() -> None:
    """A file for another machine is refused by name; allow_foreign leaves it alone."""
    files = {"gpu/k.so": elf(machine=AARCH64)}
    result = plan(files)
    assert "aarch64" in result.incompatible[0].name
    assert "--allow-foreign" in result.incompatible[0].reason
    result = plan(files, allow_foreign=("gpu/*",))
    assert not result.incompatible
    assert "another machine" in of(result, "gpu/k.so").skipped


def test_what_a_package_has_for_several_machines_is_no_error() -> None:
    """As pulp has its solver; a file of that name in another package, or elsewhere, allows none."""
    files = {
        "pulp/linux/arm64/cbc": elf(machine=AARCH64),
        "pulp/linux/i64/bin/cbc": elf(),
        "other/arm64/cbc": elf(machine=AARCH64),
    }
    told = plan(files).incompatible
    assert [each.wanted_by for each in told] == [("other/arm64/cbc",)]
    told = plan({}, facts=replace(tree(files), site_packages=())).incompatible
    assert [each.wanted_by for each in told] == [("other/arm64/cbc", "pulp/linux/arm64/cbc")]


@pytest.mark.parametrize("kind", [ElfKind.STATIC, ElfKind.RELOCATABLE, ElfKind.DEBUG])
def test_what_no_loader_reads_is_left_alone(kind: ElfKind) -> None:
    """Static programs, objects and debug files are not edited, and said so."""
    result = plan({"x": elf("libnope.so", kind=kind)})
    assert of(result, "x").skipped == kind.value
    assert not result.missing


def test_excluded_files_are_left_alone() -> None:
    """A template on an exclude pattern stays as it is."""
    result = plan({"boot/run": program("libnope.so")}, exclude=("boot/*",))
    assert "excluded" in of(result, "boot/run").skipped


# -- what is written ------------------------------------------------------------


def test_dead_entries_go_and_origin_entries_stay_in_order() -> None:
    """Absolute, dangling and empty entries are dropped; what leads inside the tree stays."""
    files = {
        "p/x.so": elf(runpath="/home/ci/build::$ORIGIN/../q:$ORIGIN/gone:$ORIGIN:/usr/lib"),
        "q/liba.so": elf(),
    }
    assert path_of(plan(files), "p/x.so") == ("$ORIGIN/../q", "$ORIGIN")


def test_a_dropped_directory_of_the_store_is_told() -> None:
    """It may have been there for dlopen; one that what is needed moved from is no news."""
    world = World({f"{A}/libz.so.1": elf(), f"{B}/libz.so.1": elf(), f"{C}/libfoo.so.1": elf()})
    file = elf("libz.so.1", runpath=f"{B}:{C}:/nix/store/gone/lib:/usr/lib")
    result = plan({"x.so": file, "y.so": file}, world, libs=(A,))
    assert path_of(result, "x.so") == (A,)
    (warning,) = result.warnings
    assert warning.startswith(f"{C} is off the search path of x.so and 1 more: ")
    assert "--runtime-libs" in warning


def test_a_directory_of_what_is_loaded_by_name_stays() -> None:
    """As an earlier patch linked it, or as it was built; not beside another one that has it."""
    world = World({f"{B}/libfoo.so.1": elf(), f"{C}/libfoo.so.1": elf(), f"{A}/libz.so.1": elf()})
    world.strings.add(("/out/x.so", "libfoo.so.1"))
    files = {"x.so": elf("libz.so.1", runpath=f"{C}:{A}")}
    result = plan(files, world, libs=(A,))
    assert (path_of(result, "x.so"), result.warnings) == ((A, C), ())
    result = plan({"x.so": elf("libz.so.1", runpath=f"{A}:{C}")}, world)
    assert not of(result, "x.so").changes
    result = plan(files, world, libs=(A, B), runtime_libs=("libfoo.so.1",))
    assert path_of(result, "x.so") == (A, B)


def test_the_kind_of_tag_stays() -> None:
    """DT_RPATH stays DT_RPATH, RUNPATH stays RUNPATH."""
    world = World({f"{A}/libz.so.1": elf()})
    files = {
        "r.so": elf("libz.so.1", rpath="$ORIGIN"),
        "n.so": elf("libz.so.1", runpath="$ORIGIN"),
        "o.so": elf("libz.so.1"),
    }
    result = plan(files, world, libs=(A,))
    assert of(result, "r.so").edit.inherited
    assert not of(result, "n.so").edit.inherited
    assert not of(result, "o.so").edit.inherited


def test_a_library_below_an_rpath_carrier_gets_rpath() -> None:
    """A RUNPATH in a grafted library would cut what it inherits: it gets DT_RPATH."""
    files = {
        "p/x.so": elf("libblas.so", rpath="$ORIGIN/../libs"),
        "libs/libblas.so": elf("libgf.so"),
        "libs/libgf.so": elf("libquad.so"),
        "libs/libquad.so": elf(),
    }
    result = plan(files)
    for name in ("libs/libblas.so", "libs/libgf.so"):
        assert of(result, name).edit.inherited
        assert path_of(result, name) == ("$ORIGIN",)
    assert not of(result, "libs/libquad.so").edit


def test_no_directory_without_use_and_no_duplicates() -> None:
    """Only directories that serve a need are written, once each."""
    world = World({f"{A}/libz.so.1": elf(), f"{A}/libpng.so": elf(), f"{B}/libunused.so": elf()})
    result = plan({"x.so": elf("libz.so.1", "libpng.so", runpath=f"{A}:{A}")}, world, libs=(B, A))
    assert path_of(result, "x.so") == (A,)


def test_programs_get_the_interpreter() -> None:
    """A program is started by the target's dynamic linker; a library with PT_INTERP is not one."""
    files = {"bin/p": program("libc.so.6"), "libQt.so.6": elf(interpreter="/lib64/ld.so")}
    result = plan(files)
    assert of(result, "bin/p").edit.interpreter == f"{LIBC}/ld-linux-x86-64.so.2"
    assert of(result, "libQt.so.6").edit.interpreter is None


def test_order_avoids_shadowing() -> None:
    """A directory that also holds another needed library goes behind the chosen one."""
    world = World({
        f"{A}/liba.so": elf(),
        f"{A}/libb.so": elf(defines=("V1",)),
        f"{B}/libb.so": elf(defines=("V2",)),
    })  # fmt: skip
    result = plan(
        {"x.so": elf("liba.so", "libb.so", versions={"V2": "libb.so"})}, world, libs=(A, B)
    )
    assert path_of(result, "x.so") == (B, A)
    assert not result.incompatible


def test_a_circle_of_shadows_is_pinned() -> None:
    """Where no order works, the needed name gets the path of the chosen file."""
    world = World({
        f"{A}/liba.so": elf(defines=("A2",)),
        f"{A}/libb.so": elf(defines=("B1",)),
        f"{B}/libb.so": elf(defines=("B2",)),
        f"{B}/liba.so": elf(defines=("A1",)),
    })  # fmt: skip
    versions = {"A2": "liba.so", "B2": "libb.so"}
    files = {"x.so": elf("liba.so", "libb.so", versions=versions)}
    result = plan(files, world, libs=(A, B))
    assert not result.incompatible
    assert of(result, "x.so").edit.replace_needed == (("libb.so", f"{B}/libb.so"),)
    assert path_of(result, "x.so") == (A,)


def test_hwcaps_subdirectories_count() -> None:
    """What stands in glibc-hwcaps/x86-64-v3 is what the loader takes, so it is what is planned."""
    world = World({
        f"{A}/liba.so": elf(),
        f"{A}/glibc-hwcaps/x86-64-v3/libb.so": elf(),
        f"{B}/libb.so": elf(),
    })  # fmt: skip
    result = plan({"x.so": elf("liba.so", "libb.so")}, world, libs=(B, A))
    assert not result.incompatible
    assert path_of(result, "x.so") == (B, A)


def test_a_text_file_of_the_name_stops_the_loader() -> None:
    """A linker script called libb.so in an earlier directory is fatal to glibc: order avoids it."""
    world = World({f"{A}/liba.so": elf(), f"{A}/libb.so": None, f"{B}/libb.so": elf()})
    result = plan({"x.so": elf("liba.so", "libb.so")}, world, libs=(A, B))
    assert path_of(result, "x.so") == (B, A)


def test_absolute_needed_names_are_resolved_by_their_base_name() -> None:
    """`/opt/vendor/libfoo.so.1` is looked up like libfoo.so.1, and the need is rewritten."""
    world = World({f"{A}/libfoo.so.1": elf(soname="libfoo.so.1")})
    name = "/opt/vendor/libfoo.so.1"
    result = plan({"x.so": elf(name)}, world, libs=(A,))
    assert outcomes(result, "x.so") == {name: "library"}
    assert of(result, "x.so").edit.replace_needed == ((name, f"{A}/libfoo.so.1"),)
    result = plan({"x.so": elf(name)})
    assert [p.name for p in result.missing] == [name]


def test_a_pin_of_an_earlier_run_stays() -> None:
    """An absolute needed name that leads into a library directory is kept."""
    world = World({f"{A}/libfoo.so.1": elf(soname="libfoo.so.1")})
    result = plan({"x.so": elf(f"{A}/libfoo.so.1")}, world, libs=(A,))
    assert not of(result, "x.so").edit


def test_store_libraries_must_find_their_own() -> None:
    """A library of a library directory whose own needs lead nowhere is told as missing."""
    world = World({f"{A}/libX11.so.6": elf("libxcb.so.1")})
    result = plan({"x.so": elf("libX11.so.6")}, world, libs=(A,))
    (problem,) = result.missing
    assert (problem.name, problem.wanted_by) == ("libxcb.so.1", (f"{A}/libX11.so.6",))
    world.files[f"{A}/libX11.so.6"] = elf("libxcb.so.1", runpath=B)
    world.files[f"{B}/libxcb.so.1"] = elf()
    assert not plan({"x.so": elf("libX11.so.6")}, world, libs=(A,)).missing


def test_no_default_path_gets_the_libc_directory() -> None:
    """Under DF_1_NODEFLIB even the libc's libraries need an entry."""
    result = plan({"x.so": elf("libm.so.6", no_default_path=True)})
    assert path_of(result, "x.so") == (LIBC,)


@pytest.mark.parametrize(("version", "cleared"), [((2, 40), False), ((2, 41), True)])
def test_executable_stacks_are_cleared_for_new_glibc(
    version: tuple[int, int], *, cleared: bool
) -> None:
    """Only where the target would refuse the library, and never with keep_execstack."""
    files = {"x.so": elf(executable_stack=True)}
    linker = {"libc_version": version}
    assert of(plan(files, linker=linker), "x.so").edit.clear_executable_stack is cleared
    kept = plan(files, linker=linker, keep_execstack=True)
    assert not of(kept, "x.so").edit.clear_executable_stack


def test_floating_folders_are_not_entered_from_outside() -> None:
    """Out of lib/python of an uninstalled wheel the way is sure, into it it isn't."""
    files = {
        "lib/liba.so": elf(),
        "lib/libc.so": elf("libb.so"),
        "lib/python/site-packages/libb.so": elf("liba.so"),
    }
    result = plan({}, facts=tree(files, floating="lib/python"))
    assert path_of(result, "lib/python/site-packages/libb.so") == ("$ORIGIN/../..",)
    assert [p.name for p in result.incompatible] == ["libb.so"]


def test_runtime_libraries_go_where_they_are_named() -> None:
    """The directory of a dlopened library goes to the files that hold its name, or to all."""
    world = World({f"{A}/libGL.so.1": elf()})
    world.strings = {("/out/gl.so", "libGL.so.1")}
    files = {"gl.so": elf(), "other.so": elf()}
    result = plan(files, world, libs=(A,), runtime_libs=("libGL.so.1",))
    assert (path_of(result, "gl.so"), path_of(result, "other.so")) == ((A,), ())
    world.strings = set()
    result = plan(files, world, libs=(A,), runtime_libs=("libGL.so.1",))
    assert path_of(result, "other.so") == (A,)


def test_what_qt_opens_by_names_of_two_parts_goes_to_its_core() -> None:
    """QLibrary is in QtCore, whose search path counts, whoever else holds the name."""
    world = World({f"{A}/libva.so.2": elf()})
    world.strings = {("/out/other.so", "libva.so.2")}
    files = {
        "libQt6Core.so.6": elf(),
        "libQt6FFmpegStub-va.so.2": elf(),
        "other.so": elf(),
    }
    result = plan(files, world, libs=(A,), runtime_libs=("libva.so.2",))
    assert path_of(result, "libQt6Core.so.6") == (A,)
    assert path_of(result, "libQt6FFmpegStub-va.so.2") == ()
    del files["libQt6FFmpegStub-va.so.2"]  # nothing opens it then but the other
    result = plan(files, world, libs=(A,), runtime_libs=("libva.so.2",))
    assert (path_of(result, "libQt6Core.so.6"), path_of(result, "other.so")) == ((), (A,))


def test_musl_answers_its_own_names() -> None:
    """libc.musl-x86_64.so.1 is musl's loader itself, whatever the directories hold."""
    world = World({"/m/ld-musl-x86_64.so.1": elf(soname="libc.so")})
    linker = {
        "libc": "musl",
        "libc_version": (1, 2, 3),
        "dynamic_linker": "/m/ld-musl-x86_64.so.1",
        "libc_directory": "/m",
        "libc_sonames": {},
    }
    result = plan({"x.so": elf("libc.musl-x86_64.so.1", "libz.so.1")}, world, linker=linker)
    assert outcomes(result, "x.so") == {"libc.musl-x86_64.so.1": "libc", "libz.so.1": "missing"}


def test_a_plan_leaves_the_index_as_it_was() -> None:
    """One index serves many plans: each sees what is there, not what another one planned."""
    world = World({f"{A}/libz.so.1": elf(soname="libz.so.1"), f"{B}/libz.so.1": elf()})
    index = LibraryIndex((A, B), world)
    facts = tree({"x.so": elf("libz.so.1")})
    world.files["/out/x.so"] = facts.files[0].facts
    plans = [plan_trees([facts], target=target(world), libraries=index) for _ in range(2)]
    assert plans[0] == plans[1]
    assert plans[0].files[0].edit.search_path == (A,)
    assert index.disk.facts("/out/x.so") == facts.files[0].facts
