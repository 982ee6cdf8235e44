# The package set that the tests of the Nix side work on: ring one or ring two
# under this project's overlay, with packages for the libraries that wheels want.
{
  # "one", the small set beside this file, or "two", a real nixpkgs.
  ring ? "one",
  pythonExecutable ? "/usr/bin/python3",
  pythonVersion ? "3.11.2",
  # Folder of the pure wheels that stand in for Python packages of nixpkgs.
  pureWheels,
  # "real", or "stub": a command that only writes down how it was called.
  tool ? "real",
  # "aarch64": the set for that platform (ring one).
  crossTo ? null,
  functionForm ? true,
  # Folder with the program `zig` of PyPI's ziglang.
  zigFolder ? "/nonexistent",
  extraOverlays ? [ ],
}:
let
  # Copies of libraries that this machine has, with what they need in a folder
  # of its own; a soname that it doesn't have gets an empty library.
  libraries =
    pkgs: name: sonames:
    pkgs.runCommand name
      {
        inherit sonames;
        glibcNames = "ld-linux libc.so libm.so libdl.so libpthread.so librt.so libutil.so libresolv.so libmvec.so libanl.so libnsl.so";
      }
      ''
        mkdir -p $out/lib $out/closure
        find_library() {
          for directory in /lib/$(uname -m)-linux-gnu /usr/lib/$(uname -m)-linux-gnu /lib64 /usr/lib64; do
            if [ -e $directory/$1 ]; then echo $directory/$1; return; fi
          done
        }
        for soname in $sonames; do
          file=$(find_library $soname)
          if [ -z "$file" ]; then
            echo "this machine has no $soname: an empty library stands in for it"
            echo | gcc -shared -nostdlib -x c - -Wl,-soname,$soname -o $out/lib/$soname
            continue
          fi
          cp -L $file $out/lib/$soname
          for file in $(ldd $file | awk '/=> \//{ print $3 }'); do
            base=$(basename $file)
            case " $glibcNames " in *" ''${base%%.so*}.so "*|*" ''${base%%-x86*} "*) continue ;; esac
            [ -e $out/closure/$base ] || cp -L $file $out/closure/
          done
        done
        chmod -R u+w $out
        for file in $out/lib/* $out/closure/*; do
          patchelf --set-rpath $out/lib:$out/closure $file
        done
      '';

  standIns =
    final: prev:
    let
      package = libraries final;
      x = {
        libx11 = package "libx11-host" [ "libX11.so.6" ];
        libxext = package "libxext-host" [ "libXext.so.6" ];
        libxrender = package "libxrender-host" [ "libXrender.so.1" ];
        libice = package "libice-host" [ "libICE.so.6" ];
        libsm = package "libsm-host" [ "libSM.so.6" ];
        libxcb = package "libxcb-host" [ "libxcb.so.1" ];
      };
    in
    x
    // {
      hostLibraries = package;
      xorg = prev.xorg or { } // {
        libX11 = x.libx11;
        libXext = x.libxext;
        libXrender = x.libxrender;
        libICE = x.libice;
        libSM = x.libsm;
        inherit (x) libxcb;
      };
      libGL = package "libGL-host" [
        "libGL.so.1"
        "libEGL.so.1"
        "libOpenGL.so.0"
      ];
      glib = package "glib-host" [
        "libglib-2.0.so.0"
        "libgobject-2.0.so.0"
        "libgthread-2.0.so.0"
        "libgio-2.0.so.0"
      ];
      ncurses5 = package "ncurses5-host" [
        "libncursesw.so.5"
        "libpanelw.so.5"
      ];
      libxcrypt-legacy = package "libxcrypt-legacy-host" [ "libcrypt.so.1" ];
      libxkbcommon = package "libxkbcommon-host" [ "libxkbcommon.so.0" ];
      dbus = package "dbus-host" [ "libdbus-1.so.3" ];
      fontconfig = package "fontconfig-host" [ "libfontconfig.so.1" ];
      freetype = package "freetype-host" [ "libfreetype.so.6" ];
      zstd = package "zstd-host" [ "libzstd.so.1" ];
      brotli = package "brotli-host" [
        "libbrotlidec.so.1"
        "libbrotlicommon.so.1"
      ];
      libkrb5 = package "libkrb5-host" [ "libgssapi_krb5.so.2" ];
      bzip2 = package "bzip2-host" [ "libbz2.so.1" ];
      libdrm = package "libdrm-host" [ "libdrm.so.2" ];
      libxrandr = package "libxrandr-host" [ "libXrandr.so.2" ];
      libpulseaudio = package "libpulseaudio-host" [ "libpulse.so.0" ];
      pcsclite = package "pcsclite-host" [ "libpcsclite.so.1" ];
      # Only called: half a gigabyte is not worth a copy. The host's Python.h is beside the
      # headers of its libc, which come behind zig's.
      zig = final.runCommand "zig-host" { meta.mainProgram = "zig"; } ''
        mkdir -p $out/bin
        printf '#!/bin/sh\nexec %s/zig "$@" -idirafter /usr/include\n' ${zigFolder} > $out/bin/zig
        chmod +x $out/bin/zig
      '';
      rustc = onHost final "rustc";
      cargo = onHost final "cargo";
      # Not a library of nixpkgs: one that only fixtures need.
      nest = final.runCommand "nest-1" { meta.description = "a library for fixtures"; } ''
        mkdir -p $out/lib
        echo 'int nest_answer(void) { return 42; }' | ${final.crossCompiler or "gcc"} -shared -fPIC -x c - -Wl,-soname,libnest.so.1 -o $out/lib/libnest.so.1
      '';
    };

  # A program of the host's, by its name.
  onHost =
    pkgs: name:
    pkgs.runCommand "${name}-host" { meta.mainProgram = name; } ''
      mkdir -p $out/bin
      ln -s /usr/bin/${name} $out/bin/${name}
    '';

  stub = final: prev: {
    # Only how the fixup hook calls it is written down.
    manylinuxInstallHook = final.callPackage ../../nix/manylinux-install-hook.nix {
      buildPackages = { inherit (prev) nix-manylinux; };
      python = final.python3;
    };
    nix-manylinux = final.runCommand "nix-manylinux-stub" { meta.mainProgram = "nix-manylinux"; } ''
      mkdir -p $out/bin
      cp ${./stub.sh} $out/bin/nix-manylinux
      chmod +x $out/bin/nix-manylinux
    '';
  };

  # The stand-ins for Python packages are bare wheels: what builds our own
  # package needs their dependencies and a program.
  backend = _: prev: {
    pythonPackagesExtensions = prev.pythonPackagesExtensions ++ [
      (
        pyfinal: pyprev:
        let
          site = name: "${pyfinal.${name}}/${pyfinal.python.sitePackages}";
          build = pyfinal.build.overrideAttrs (old: {
            installPhase = old.installPhase + ''
              mkdir -p $out/bin
              cat > $out/bin/pyproject-build <<'SH'
              #!/bin/sh
              PYTHONPATH=${site "build"}:${site "pyproject-hooks"}:${site "packaging"}:$PYTHONPATH exec ${pyfinal.python.interpreter} -m build "$@"
              SH
              chmod +x $out/bin/pyproject-build
            '';
          });
          hatchling = pyfinal.hatchling.overrideAttrs {
            propagatedBuildInputs = [
              pyfinal.packaging
              pyfinal.pathspec
              pyfinal.pluggy
              pyfinal.tomlkit
              pyfinal.trove-classifiers
            ];
          };
        in
        {
          nix-manylinux = pyprev.nix-manylinux.override (
            {
              inherit hatchling;
            }
            // (
              if pyprev ? pypaBuildHook then
                {
                  buildPythonPackage = pyfinal.buildPythonPackage.override {
                    pypaBuildHook = pyprev.pypaBuildHook.override { inherit build; };
                  };
                }
              else
                { }
            )
          );
        }
      )
    ];
  };

  overlays = [
    standIns
    (import ../../nix/overlay.nix)
    backend
  ]
  ++ (if tool == "stub" then [ stub ] else [ ])
  ++ extraOverlays;
in
if ring == "two" then
  import ./ring-two {
    inherit overlays;
    wheels = pureWheels;
  }
else
  import ./ring-one {
    inherit
      overlays
      pythonExecutable
      pythonVersion
      crossTo
      functionForm
      ;
    wheels = pureWheels;
  }
