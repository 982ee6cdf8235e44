"""A virtual environment is given a Python of Nix's, of its own version."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.errors import OsErrors, WriteFailed
from nix_manylinux.base.files import replace_file, temporary_beside
from nix_manylinux.target.environment import interpreter_names

_SETTING = re.compile(r"^(home|executable)([ \t]*=[ \t]*).*$", re.MULTILINE)


def give_interpreter(venv: str, python: str) -> None:
    """Lead a virtual environment's ``bin/python`` and its settings to another interpreter.

    What leads out of ``bin`` to the old one is a link, and becomes one to ``python``, an
    absolute path; so do all links of an interpreter's names, which may lead to another one
    (`python -m venv` over an old environment). The settings come first and the links last:
    until then the environment is what it was, or what the next call makes right. Raises
    WriteFailed.
    """
    folder, settings = os.path.join(venv, "bin"), os.path.join(venv, "pyvenv.cfg")
    values = {"home": os.path.dirname(python), "executable": python}
    with OsErrors(WriteFailed, "can't be given another interpreter", where=venv, named=True):
        old = os.path.realpath(os.path.join(folder, "python"))
        with open(settings, encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read()
        text = _SETTING.sub(lambda match: f"{match[1]}{match[2]}{values[match[1]]}", text)
        replace_file(settings, text.encode("utf-8", "surrogateescape"), os.stat(settings))
        for name in sorted(os.listdir(folder), reverse=True):
            path = os.path.join(folder, name)
            leads_out = os.path.islink(path) and os.sep in os.readlink(path)
            own = name in {*interpreter_names(python)}
            if leads_out and (own or os.path.realpath(path) == old):
                link = temporary_beside(path)
                os.symlink(python, link)
                os.replace(link, path)
