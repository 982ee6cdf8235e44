# The setup hook for nativeBuildInputs. The command is called by its store path
# and is no input of the hook: neither its Python nor what that needs reaches a
# build that uses the hook.
{
  lib,
  callPackage,
  makeSetupHook,
  # The set whose programs run where things are built. Splicing would not reach
  # a hook that stands in a Python set, so the command is taken from here.
  buildPackages,
}:
let
  variables = import ./variable-names.nix;
in
makeSetupHook {
  name = "manylinux-fixup-hook";
  substitutions = {
    nixManylinux = lib.getExe buildPackages.nix-manylinux;
    autoPatchelfNames = "${../hooks/auto-patchelf-names.sh}";
    variableNames = "${../hooks/variable-names.sh}";
    names = lib.concatStringsSep " " variables;
  };
  passthru = {
    # Python sets refuse what is neither a package of theirs nor a hook.
    provides.setupHook = true;
    inherit variables;
    tests = {
      links = callPackage ./manylinux-fixup-hook-test.nix { };
      refuses = callPackage ./manylinux-fixup-hook-refuses-test.nix { };
    };
  };
  meta = {
    description = "Links what a package takes from manylinux wheels to the libraries of its inputs";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
  };
} ../hooks/manylinux-fixup-hook.sh
