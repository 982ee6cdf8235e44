# The setup hook for nativeBuildInputs that installs wheels. As with
# manylinuxFixupHook, the command is called by its store path and is no input.
{
  lib,
  makeSetupHook,
  buildPackages,
}:
makeSetupHook {
  name = "manylinux-install-hook";
  substitutions.nixManylinux = lib.getExe buildPackages.nix-manylinux;
  # Python sets refuse what is neither a package of theirs nor a hook.
  passthru.provides.setupHook = true;
  meta = {
    description = "Installs wheels as pypaInstallHook does, on all cores";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
  };
} ../hooks/manylinux-install-hook.sh
