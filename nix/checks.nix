# What `nix flake check` builds: the tool, the tests of the pure part, and the
# proofs that nixpkgs has every library where the lists say.
{ pkgs }:
let
  inherit (pkgs) lib;
  manylinux = import ./lib;

  groups = import ../tests/nix/lib-tests.nix;
  failures = lib.concatMap (
    group: map (failure: failure // { name = "${group}.${failure.name}"; }) (lib.runTests groups.${group})
  ) (lib.attrNames groups);

  proofs = lib.listToAttrs (
    map (policy: {
      name = "${policy.name}-libraries";
      value = pkgs.pythonManylinuxPackages."${policy.name}Package";
    }) (lib.filter (policy: policy.family == "manylinux") manylinux.policies)
  );
in
{
  inherit (pkgs) nix-manylinux;
  inherit (pkgs.python3Packages) manylinux-compat;

  # lib.runTests gives the tests that fail.
  lib = pkgs.runCommand "nix-manylinux-lib-tests" { failures = builtins.toJSON failures; } ''
    if [ "$failures" != "[]" ]; then
      echo "$failures" >&2
      exit 1
    fi
    touch $out
  '';
}
// proofs
