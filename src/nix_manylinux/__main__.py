"""`python -m nix_manylinux`: the command."""

import sys

from nix_manylinux.cli.main import run

sys.exit(run())
