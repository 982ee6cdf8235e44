# A shell for work on the project: everything that ./dev test runs.
{ pkgs }:
pkgs.mkShell {
  packages = [
    (pkgs.python3.withPackages (
      python: with python; [
        hypothesis
        installer
        jsonschema
        mypy
        packaging
        pyelftools
        pytest
        pytest-xdist
        shtab
      ]
    ))
  ]
  ++ (with pkgs; [
    binutils
    bubblewrap
    elfutils
    patchelf
    ruff
    shellcheck
    shfmt
  ]);
}
