"""Whole trees against nixpkgs' auto-patchelf, and wheels against unpack, patchelf, pack."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from measure import COMMAND, SEARCH_PATH, run, seconds, table, wheel, workshop

from nix_manylinux.base.parallel import in_parallel

#: What the wheels below need from outside, as this machine's gcc finds it.
_OUTSIDE = ("libstdc++.so.6", "libgcc_s.so.1", "libz.so.1", "libgomp.so.1")
_GLIBC = (
    "libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1",
    "ld-linux-x86-64.so.2",
)  # fmt: skip
_TREES = (
    ("torch", "torch==2.13.0+cpu"),
    ("scipy", "scipy==1.17.1"),
    ("python-rapidjson (one extension)", "python_rapidjson==1.25"),
    ("orjson (nothing to do)", "orjson==3.13.0"),
)
_DIRECTORIES = 300
#: Wheels, and how often each is timed at most: packing torch again takes a minute.
_WHEELS = (
    ("torch==2.13.0+cpu", 1),
    ("scipy==1.17.1", 9),
    ("numpy==1.26.4", 9),
    ("pillow==13.0.0", 9),
    ("lxml==6.1.3", 9),
    ("python_rapidjson==1.25", 9),
    ("orjson==3.13.0", 9),
)


def _find(name: str) -> Path:
    done = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return Path(done.stdout.strip()).resolve()


def _libraries(folder: Path) -> list[str]:
    """Make 300 directories of three libraries; the wheels' own needs are in the middle."""
    soname = "libbench-0000.so.1"
    source = folder / "bench.c"
    source.write_text("int bench(void) { return 1; }\n")
    built = folder / soname
    run(["gcc", "-shared", "-nostdlib", "-Wl,-soname," + soname, "-o", str(built), str(source)])
    data = built.read_bytes()
    found = []
    for number in range(_DIRECTORIES):
        directory = folder / f"store/{number:032d}-package-{number}" / "lib"
        directory.mkdir(parents=True)
        for each in range(3):
            name = f"libbench-{number * 3 + each:04d}.so.1"
            path = directory / name
            path.write_bytes(data.replace(soname.encode(), name.encode()))
            path.chmod(0o755)
        if _DIRECTORIES // 2 <= number < _DIRECTORIES // 2 + len(_OUTSIDE):
            name = _OUTSIDE[number - _DIRECTORIES // 2]
            shutil.copy(_find(name), directory / name)
        found.append(str(directory))
    return found


def _libc(folder: Path) -> tuple[Path, Path]:
    """Make a libc directory that holds only glibc, and what auto-patchelf reads of bintools."""
    libc = folder / "glibc" / "lib"
    libc.mkdir(parents=True)
    for name in _GLIBC:
        (libc / name).symlink_to(_find(name))
    support = folder / "bintools" / "nix-support"
    support.mkdir(parents=True)
    (support / "dynamic-linker").write_text(str(libc / "ld-linux-x86-64.so.2"))
    (support / "orig-libc").write_text(str(libc.parent))
    return libc, support.parent


def _hash(tree: Path) -> None:
    """Hash every file of a tree, as RECORD wants it: the part that no design can save."""
    files = [path for path in tree.rglob("*") if path.is_file()]

    def digest(index: int, _look: object) -> bytes:
        state = hashlib.sha256()
        with files[index].open("rb", buffering=0) as file:
            while piece := file.read(1 << 20):
                state.update(piece)
        return state.digest()

    in_parallel(digest, [path.stat().st_size for path in files])


def whole_trees(auto_patchelf: str, patchelf: str, rounds: int) -> str:
    """Compare `nix-manylinux patch TREE` with auto-patchelf over 300 library directories."""
    rows = []
    with workshop() as folder:
        libraries = _libraries(folder)
        libc, bintools = _libc(folder)
        env = {
            "NIX_BINTOOLS": str(bintools),
            "PATH": os.path.dirname(patchelf) + os.pathsep + os.environ["PATH"],
        }
        for name, requirement in _TREES:
            unpacked, tree = folder / "unpacked", folder / "tree"
            with zipfile.ZipFile(wheel(requirement, python=sys.executable)) as archive:
                archive.extractall(unpacked)

            def fresh(unpacked: Path = unpacked, tree: Path = tree) -> None:
                shutil.rmtree(tree, ignore_errors=True)
                shutil.copytree(unpacked, tree)

            ours = [*COMMAND, "patch", "--quiet", str(tree)]
            ours += ["--dynamic-linker", str(libc / "ld-linux-x86-64.so.2"), "--libc", str(libc)]
            ours += [word for path in libraries for word in ("--libs", path)]
            theirs = [sys.executable, auto_patchelf, "--paths", str(tree), "--libs", *libraries]
            theirs += ["--ignore-missing", "*"]

            def without_record(tree: Path = tree, command: list[str] = ours) -> None:
                for record in tree.glob("*.dist-info/RECORD"):
                    record.unlink()
                run(command, env=env)

            mine, bare, hashing, other = seconds(
                lambda command=ours: run(command, env=env),
                without_record,
                lambda tree=tree: _hash(tree),
                lambda command=theirs: run(command, env=env),
                rounds=rounds,
                before=fresh,
            )
            rows.append([
                name, f"{other:.2f} s", f"{mine:.2f} s", f"{other / mine:.1f}x",
                f"{bare:.2f} s", f"{other / bare:.1f}x", f"{hashing:.2f} s",
            ])  # fmt: skip
            shutil.rmtree(unpacked)
            shutil.rmtree(tree)
    return table(
        f"A whole tree, {_DIRECTORIES} library directories of three libraries",
        ["tree", "auto-patchelf", "ours", "ratio", "ours, no RECORD", "ratio", "SHA-256 alone"],
        rows,
    )


def wheel_to_wheel(patchelf: str, rounds: int) -> str:
    """Compare patching a wheel into a wheel with unpacking, patchelf and packing."""
    raw = ":".join(SEARCH_PATH)
    rows = []
    with workshop() as folder:
        libraries = _libraries(folder)
        libc, _ = _libc(folder)
        for requirement, most in _WHEELS:
            archive = wheel(requirement, python=sys.executable)
            output = folder / "output"
            ours = [*COMMAND, "patch", "--quiet", str(archive)]
            ours += ["--output-dir", str(output), "--libc", str(libc)]
            ours += ["--dynamic-linker", str(libc / "ld-linux-x86-64.so.2")]
            ours += [word for path in libraries for word in ("--libs", path)]

            def fresh(output: Path = output) -> None:
                shutil.rmtree(output, ignore_errors=True)
                output.mkdir()

            def theirs(archive: Path = archive, output: Path = output) -> None:
                run([sys.executable, "-m", "wheel", "unpack", "-d", str(output), str(archive)])
                (tree,) = output.iterdir()
                for path in sorted(tree.rglob("*")):
                    if path.is_file() and path.open("rb").read(4) == b"\x7fELF":
                        run([patchelf, "--set-rpath", raw, str(path)])
                run([sys.executable, "-m", "wheel", "pack", "-d", str(output), str(tree)])

            mine, other = seconds(
                lambda command=ours: run(command), theirs,
                rounds=min(rounds, most), before=fresh,
            )  # fmt: skip
            rows.append([requirement, f"{mine:.2f} s", f"{other:.2f} s", f"{other / mine:.1f}x"])
    return table("Wheel to wheel", ["wheel", "ours", "unpack, patchelf, pack", "ratio"], rows)
