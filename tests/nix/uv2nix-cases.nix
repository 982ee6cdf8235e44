# A real uv.lock by the real uv2nix, under our overlay for its sets. Both are
# checkouts that environment variables name, and so is the expression that
# builds with them on this machine's tools.
{
  # From overlays to the nixpkgs set.
  nixpkgs,
  # Folder of pyproject.toml and uv.lock, and one of the wheels that the lock names.
  project,
  files,
  # The command.
  uv,
}:
let
  named =
    variable:
    let
      value = builtins.getEnv variable;
    in
    if value != "" then /. + value else throw "these cases need the environment variable ${variable}";

  # That of the host knows no wheels without an ABI ("none").
  withAllTags =
    set:
    set
    // {
      hostPython = set.hostPython // {
        passthru = set.hostPython.passthru // {
          pythonABITags = [
            "none"
            "any"
          ]
          ++ set.hostPython.passthru.pythonABITags or [ ];
        };
      };
    };

  make =
    overlay:
    import (named "NIX_MANYLINUX_UV2NIX_HOST") {
      pyproject = named "NIX_MANYLINUX_PYPROJECT_NIX";
      uv2nix = named "NIX_MANYLINUX_UV2NIX";
      overlays = [ ];
      overlay = _: overlay;
      nixpkgs = extra: withAllTags (nixpkgs extra);
      inherit project files uv;
    };
in
{
  ours = make (import ../../nix/pyproject-overlay.nix { });
  theirs = make (_: _: { });
}
