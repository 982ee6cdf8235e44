"""Wheels that need wheels that need the driver: torch in small, in a merged environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.nix.test_packages import run, site_packages
from tests.support.installed import command
from tests.support.rings import store_alone

if TYPE_CHECKING:
    from tests.support.rings import Nix

pytestmark = pytest.mark.nix

ANSWER = "import torchlike; assert torchlike.answer == 101122, torchlike.answer"

#: Opens the library of the cycle, by its place in the environment.
GRAPH = """
import ctypes, nvidia.cudnn, os
place = os.path.join(os.path.dirname(nvidia.cudnn.__file__), "lib", "libcudnn_graph.so.9")
assert ctypes.CDLL(place, os.RTLD_NOW).graph() == 111122
"""


def test_in_their_own_store_paths(nix: Nix) -> None:
    """Each wheel in its own package: from torch's extension everything is found, to the driver."""
    path = nix.build("torch.torchlike").path
    python = nix.build("interpreter.plain").path
    mapped = run(nix, f"{python}/bin/python3", ANSWER, PYTHONPATH=site_packages(nix, path))
    packages = {
        nix.build(f"torch.{name}").path for name in ("cublas", "cudnn", "torchlike", "driver")
    }
    depth = nix.store.count("/") + 2
    assert packages <= {"/".join(library.split("/")[:depth]) for library in mapped}


def test_in_a_merged_environment(nix: Nix) -> None:
    """The tree's own buildEnv merges them: torch works, and the cycle once torch is imported."""
    environment = nix.build("torch.environment").path
    mapped = run(nix, f"{environment}/bin/python3", f"{ANSWER}\n{GRAPH}")
    names = {os.path.basename(library) for library in mapped}
    assert names >= {
        *("libcublasLt.so.12", "libcublas.so.12", "libcudnn.so.9", "libcudnn_graph.so.9"),
        *("libtorch_cuda.so", "_C.so", "libcuda.so.1"),
    }
    # One copy of each, or two parts of a program would not share their state.
    assert len(mapped) == len(names)


def test_check_knows_what_the_loader_does(nix: Nix) -> None:
    """The cycle's library opened first: it loads where files are linked, and `check` says so.

    Where a whole folder is a link, ".." leads into the package that it comes
    from, which can't know the one that comes later.
    """
    environment = nix.build("torch.environment").path
    python = nix.build("interpreter.plain").path
    driver = nix.build("torch.driver").path
    done = store_alone(nix).run([f"{environment}/bin/python3", "-c", GRAPH])
    site = next(Path(environment).glob("lib/python3.*/site-packages"))
    folder_is_a_link = os.path.realpath(site / "nvidia/cudnn/lib") != str(site / "nvidia/cudnn/lib")
    assert (done.returncode != 0) == folder_is_a_link, done.stderr
    words = ["--python", f"{python}/bin/python3", "--libs", f"{driver}/lib"]
    ran = command("check", environment, *words)
    assert (ran.status != 0) == folder_is_a_link, ran.stderr
    if folder_is_a_link:
        assert "libtorch_cuda.so" in done.stderr
        assert "libtorch_cuda.so" in ran.stderr.partition("warning:")[0]
    alone = nix.build("torch.cudnn").path
    ran = command("check", alone, *words)
    assert ran.status == 1
    assert "libtorch_cuda.so" in ran.stderr


def test_without_its_wheels_it_is_refused(nix: Nix) -> None:
    """Not listed as dependencies, the CUDA wheels' libraries are missing, and the build says so."""
    log = nix.fails("torch.alone")
    assert "libcudnn.so.9" in log
    assert "libcublas.so.12" in log
