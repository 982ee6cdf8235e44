# An interpreter under which wheels work as they come: `_manylinux` in its own
# standard library, where its virtual environments find it too, and a policy's
# libraries in its DT_RPATH. A library without a RUNPATH of its own is searched
# for along the DT_RPATH of the program, so unpatched extension modules load.
# Nothing goes to LD_LIBRARY_PATH: programs that it starts are none the wiser.
{
  lib,
  stdenv,
  patchelf,
  pythonManylinuxPackages,
}:
{
  python,
  # "manylinux1", "manylinux2014", "manylinux_2_28", ...
  policy ? "manylinux2014",
  # More packages with libraries, before those of the policy.
  extraLibs ? [ ],
}:
let
  manylinux = import ./lib;

  libraries = map lib.getLib (
    extraLibs ++ pythonManylinuxPackages.${(manylinux.policyFor policy).name}
  );

  self = import ./python-with.nix { inherit lib stdenv; } {
    inherit python;
    pname = "${python.pname or "python3"}-manylinux";

    nativeBuildInputs = [ patchelf ];
    libraryPath = lib.makeLibraryPath libraries;

    postInstall = ''
      # What ctypes loads by its bare name is searched for by _ctypes, whose own
      # RUNPATH shuts out that of the program.
      for entry in $out/$stdlib/lib-dynload/_ctypes.*; do
        cp --remove-destination "$(readlink -f $entry)" $entry
        chmod 755 $entry
        own=$(patchelf --print-rpath $entry)
        patchelf --set-rpath "$own''${own:+:}$libraryPath" $entry
      done
      own=$(patchelf --print-rpath $out/bin/${python.executable})
      patchelf --force-rpath --set-rpath "$own''${own:+:}$libraryPath" $out/bin/${python.executable}
      install -m 444 ${../src/nix_manylinux/compat/_manylinux.py} $out/$stdlib/_manylinux.py
    '';

    passthru = {
      # An environment has the standard library of the interpreter that its
      # packages were built for, and so the module beside them.
      buildEnv = python.buildEnv.override {
        python = self;
        extraLibs = [ python.pkgs.manylinux-compat ];
      };
      withPackages =
        f: self.buildEnv.override { extraLibs = f python.pkgs ++ [ python.pkgs.manylinux-compat ]; };
      inherit policy libraries;
    };

    meta.description = "CPython that takes manylinux wheels as they come, as NIX_PYTHON_MANYLINUX allows";
  };
in
self
