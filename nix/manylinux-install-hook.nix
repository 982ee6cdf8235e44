# The setup hook for nativeBuildInputs that installs wheels. As with
# manylinuxFixupHook, the command is called by its store path and is no input.
{
  lib,
  callPackage,
  makeSetupHook,
  buildPackages,
  python, # that the test installs for
}:
makeSetupHook {
  name = "manylinux-install-hook";
  substitutions.nixManylinux = lib.getExe buildPackages.nix-manylinux;
  passthru = {
    # Python sets refuse what is neither a package of theirs nor a hook.
    provides.setupHook = true;
    tests.installs = callPackage ./manylinux-install-hook-test.nix { inherit python; };
  };
  meta = {
    description = "Installs wheels as pypaInstallHook does, on all cores";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
  };
} ../hooks/manylinux-install-hook.sh
