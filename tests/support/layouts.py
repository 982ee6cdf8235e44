"""Wheels of all the layouts that installers know, made up."""

from __future__ import annotations

import sys

from tests.support.wheels import MadeWheel

TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}-none-linux_x86_64"
SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"

#: How many there are.
LAYOUTS = 10


def layouts(extension: bytes, tag: str = TAG) -> list[MadeWheel]:
    """Make a wheel of each layout that installers know, for a CPython by its tag."""
    site = SITE.replace(TAG[3:5], tag[3:5])
    odd = {"made/with space.py": b"x = 1\n", "made/\u00e9.txt": b"e", "made/a,b.txt": b"quoted"}
    scripts = {
        "made-1.0.data/scripts/asks": b"#!python\nprint('asked')\n",
        "made-1.0.data/scripts/own": b"#!/bin/sh\necho own\n",
        "made-1.0.data/scripts/prog": extension,
    }
    data = {
        "made-1.0.data/data/share/made/x": b"data",
        "made-1.0.data/headers/made.h": b"int x;\n",
        "made-1.0.data/purelib/made_pure.py": b"y = 2\n",
        "made-1.0.data/platlib/made_plat.so": extension,
    }
    points = (
        b"[console_scripts]\nmade = made:main\nmade-x = made.sub:app.run [extra]\n"
        b"[gui_scripts]\nmade-gui = made:gui\n[other]\nplugin = made:thing\n"
    )
    plain = {"made/__init__.py": b"def main(): assert __debug__\n", "made/ext.so": extension}
    modes = {"made-1.0.data/scripts/own": 0o100755, "made/ext.so": 0o100755, "made/tool": None}
    broken = {"made/template.py": b"{{ name }} = 1\n", "made/python2.py": b"print 'x'\n"}
    spelt = {
        "made/latin.py": b"# -*- coding: latin-1 -*-\nNAME = '\xe9'\nassert NAME\n",
        "made/nobody.py": b"# coding: no-such-thing\n",
        "made/debug.py": "if __\U0001d41debug__:\n    X = {'a', 'b'}\n".encode(),
        "made/doc.py": b'"""Asserts nothing."""\ndef f():\n    """Nor this."""\n    return {1, 2}',
        "made/nul.py": b"x = 1\0\n",
        "made/empty.py": b"",
    }
    elsewhere = {
        "made-1.0.data/scripts/tool.py": b"#!python\nassert 1\n",
        "made-1.0.data/data/share/made/module.py": b"assert 1\n",
        f"made-1.0.data/data/{site}/beside.py": b"assert 1\n",
        "made-1.0.data/headers/sub/made.h": b"",
        "made-1.0.data/scripts/gui": b"#!pythonw -s\n",
    }
    names = {
        "made/it's.py": b"x = 1\n", "made/-rf.py": b"x = 1\n", "made/a b/__init__.py": b"",
        "made/.hidden.py": b"x = 1\n", "made/.py": b"x = 1\n", "made/sub.py/x.txt": b"",
        "made/UPPER.PY": b"x = 1\n", "made/\u00fc/\u65e5\u672c.py": b"x = 1\n",
    }  # fmt: skip
    old = {"made/__pycache__/__init__.cpython-36.pyc": b"old", "made/legacy.pyc": b"old"}
    return [
        MadeWheel(tag=tag, files=plain),
        MadeWheel(tag=tag, files={**plain, **odd, "made/tool": b"t"}, modes=dict(modes)),
        MadeWheel(tag=tag, files={**plain, **scripts}, modes=dict(modes), line_end="\r\n"),
        MadeWheel(tag=tag, files={**plain, **data}, record_first=True),
        MadeWheel(tag=tag, files={**plain, "made-1.0.dist-info/entry_points.txt": points}),
        MadeWheel(
            tag="py3-none-any",
            files={"ns/part/__init__.py": b"", "ns/part/x.py": b""},
            wheel=b"Wheel-Version: 1.0\nGenerator: m\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        MadeWheel(tag=tag, files={**plain, **broken, **spelt}, modes={"made/doc.py": 0o100755}),
        MadeWheel(tag=tag, files={**plain, **elsewhere}),
        MadeWheel(tag=tag, files={**plain, **names}),
        MadeWheel(tag=tag, files={**plain, **old}),
    ]
