# For nativeBuildInputs of a development shell: a virtual environment that works,
# whoever installs into it. Where nixpkgs has venvShellHook.
{
  lib,
  stdenv,
  runCommand,
  runtimeShell,
  coreutils,
  makeSetupHook,
  buildPackages,
  manylinuxFixupHook,
  pythonManylinuxPackages,
  # The interpreter of the environment.
  python ? python3,
  python3,
  # Whose libraries to offer, besides the shell's buildInputs.
  policy ? "manylinux2014",
  # Whether to offer pythonManylinuxPackages.common, too.
  autoLibs ? true,
}:
let
  manylinux = import ./lib;

  link =
    runCommand "manylinux-venv-link"
      {
        meta = {
          description = "Links what was installed into a virtual environment of manylinuxVenvHook";
          license = lib.licenses.mit;
          platforms = lib.platforms.linux;
        };
        text =
          lib.replaceStrings
            [ "@shell@" "@coreutils@" "@nixManylinux@" ]
            [ runtimeShell "${coreutils}" (lib.getExe buildPackages.nix-manylinux) ]
            (builtins.readFile ../hooks/manylinux-venv-link.sh);
      }
      ''
        printf '%s' "$text" > $out
        chmod 555 $out
      '';

  interpreter = import ./python-with.nix { inherit lib stdenv; } {
    inherit python;
    pname = "${python.pname or "python3"}-manylinux-venv";
    postInstall = ''
      if [ -e $out/$stdlib/sitecustomize.py ]; then
        mv $out/$stdlib/sitecustomize.py $out/$stdlib/_sitecustomize_before.py
      fi
      install -m 444 ${../src/nix_manylinux/compat/venv_sitecustomize.py} $out/$stdlib/sitecustomize.py
    '';
    meta.description = "CPython whose virtual environments are linked when something was installed";
  };

  libraries =
    pythonManylinuxPackages.${(manylinux.policyFor policy).name}
    ++ lib.optionals autoLibs pythonManylinuxPackages.common;
in
makeSetupHook {
  name = "manylinux-venv-hook";
  substitutions = {
    inherit link;
    # Not propagated: among the inputs of this hook it would see no library.
    fixupHook = "${manylinuxFixupHook}/nix-support/setup-hook";
    python = interpreter.interpreter;
    pythonBin = "${interpreter}/bin";
    libraries = lib.concatMapStringsSep " " (package: "${lib.getLib package}/lib") libraries;
  };
  passthru = {
    inherit interpreter libraries;
    provides.setupHook = true;
  };
  meta = {
    description = "Gives a development shell a virtual environment whose wheels are linked";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
  };
} ../hooks/manylinux-venv-hook.sh
