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

  self = stdenv.mkDerivation {
    pname = "${python.pname or "python3"}-manylinux";
    version = python.version or python.pythonVersion;

    strictDeps = true;
    nativeBuildInputs = [ patchelf ];
    dontUnpack = true;
    # shrink-rpath would take out every library that Python itself doesn't need.
    dontPatchELF = true;
    dontStrip = true;

    libraryPath = lib.makeLibraryPath libraries;

    installPhase = ''
      runHook preInstall

      # Python looks for its standard library beside its executable, links resolved:
      # the program is a copy, and all else leads to the interpreter it came from.
      prefix=${python}
      stdlib=lib/${python.libPrefix}
      mkdir -p $out/bin $out/$stdlib/site-packages
      for entry in $prefix/*; do
        case ''${entry##*/} in
        bin | lib | nix-support) ;;
        *) ln -s $entry $out/ ;;
        esac
      done
      for entry in $prefix/lib/*; do
        [ $entry = $prefix/$stdlib ] || ln -s $entry $out/lib/
      done
      for entry in $prefix/$stdlib/*; do
        case ''${entry##*/} in
        site-packages | lib-dynload) ;;
        *) ln -s $entry $out/$stdlib/ ;;
        esac
      done
      # What ctypes loads by its bare name is searched for by _ctypes, whose own
      # RUNPATH shuts out that of the program.
      mkdir $out/$stdlib/lib-dynload
      for entry in $prefix/$stdlib/lib-dynload/*; do
        case ''${entry##*/} in
        _ctypes.*)
          install -m 755 $entry $out/$stdlib/lib-dynload/
          own=$(patchelf --print-rpath $entry)
          patchelf --set-rpath "$own''${own:+:}$libraryPath" $out/$stdlib/lib-dynload/''${entry##*/}
          ;;
        *) ln -s $entry $out/$stdlib/lib-dynload/ ;;
        esac
      done
      for entry in $prefix/$stdlib/site-packages/*; do
        ln -s $entry $out/$stdlib/site-packages/
      done
      if [ -e $prefix/nix-support/setup-hook ]; then
        install -Dm 444 $prefix/nix-support/setup-hook $out/nix-support/setup-hook
      fi
      install -m 444 ${../src/nix_manylinux/compat/_manylinux.py} $out/$stdlib/_manylinux.py

      install -m 755 $prefix/bin/${python.executable} $out/bin/${python.executable}
      own=$(patchelf --print-rpath $out/bin/${python.executable})
      patchelf --force-rpath --set-rpath "$own''${own:+:}$libraryPath" $out/bin/${python.executable}
      for entry in $prefix/bin/*; do
        name=''${entry##*/}
        if [ $name = ${python.executable} ]; then
          continue
        elif [ "$(readlink -f $entry)" = "$(readlink -f $prefix/bin/${python.executable})" ]; then
          ln -s ${python.executable} $out/bin/$name
        else
          ln -s $entry $out/bin/$name
        fi
      done

      runHook postInstall
    '';

    passthru = removeAttrs (python.passthru or { }) [ "tests" ] // {
      interpreter = "${self}/bin/${python.executable}";
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

    meta = {
      description = "CPython that takes manylinux wheels as they come, as NIX_PYTHON_MANYLINUX allows";
      mainProgram = python.executable;
      platforms = lib.platforms.linux;
    };
  };
in
self
