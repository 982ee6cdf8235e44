"""The module is what cargo builds; setuptools-rust and maturin do the same with more comfort."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class Cargo(build_ext):
    """Has cargo build the extension."""

    def build_extension(self, extension: Extension) -> None:
        """Build the crate beside this file, and take its library for the module."""
        command = ["cargo", "build", "--release", "--offline", "--locked"]
        subprocess.run(command, check=True)
        module = Path(self.get_ext_fullpath(extension.name))
        module.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile("target/release/libdemo.so", module)


setup(ext_modules=[Extension("demo", [])], cmdclass={"build_ext": Cargo})
