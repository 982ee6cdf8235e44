# One list of wheels for every interpreter and machine; each set takes its own.
#
#   nix-instantiate --eval --strict --json examples/wheel-list
let
  pkgs = import <nixpkgs> { overlays = [ (import ../../nix/overlay.nix) ]; };

  numpy = pythonVersion: pkgs.fetchPypi {
    inherit pythonVersion;
    files = [
      {
        file = "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        hash = "sha256-Zm2/tuxoliwDOkUJQ97Ykb7S1U5nVeNeWDXWP09pMdU=";
      }
      {
        file = "numpy-1.26.4-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl";
        hash = "sha256-erVUASh7/slGztOXAMBTeW58wOOsvvCZk6mtKtumym4=";
      }
    ];
  };
in
{
  for311 = (numpy "3.11.9").name;
  # The message says what there is: try it in `nix repl`.
  for312 = (builtins.tryEval (numpy "3.12").name).success;
}
