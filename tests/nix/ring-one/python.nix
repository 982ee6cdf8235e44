# The host's CPython as nixpkgs has it: self-contained in the store, linked to
# this set's glibc, with a package set that pythonPackagesExtensions extend.
{
  lib,
  stdenv,
  pkgs,
  glibc,
  runCommand,
  buildPackages,
  raw,
  asPackage,
  pythonExecutable,
  pythonVersion,
  wheels,
  functionForm,
  cross,
}:
let
  short = lib.versions.majorMinor pythonVersion;
  libPrefix = "python${short}";
  sitePackages = "lib/${libPrefix}/site-packages";
  executable = libPrefix;

  # Shows up on PYTHONPATH where the manual says: for what runs on our platform.
  setupHook = builtins.toFile "python-setup-hook" ''
    addPythonPath() {
      addToSearchPath PYTHONPATH "$1/${sitePackages}"
    }
    addEnvHooks "$hostOffset" addPythonPath
    export PYTHONHASHSEED=0 PYTHONNOUSERSITE=1
  '';

  # In a set for another platform there is no interpreter that could be run.
  foreign = raw "python3-${pythonVersion}-foreign" ''
    mkdir -p $out/bin $out/${sitePackages} $out/lib/${libPrefix}/lib-dynload $out/nix-support
    compiler=${stdenv.hostPlatform.uname.processor}-linux-gnu-gcc
    echo 'int main(void) { return 0; }' |
      $compiler -x c - -o $out/bin/${executable} -Wl,--dynamic-linker=${glibc}/lib/${stdenv.hostPlatform.linker}
    # Version and ABI can only be read from the names of its extension modules.
    echo | $compiler -shared -nostdlib -x c - -o $out/lib/${libPrefix}/lib-dynload/_json.cpython-${
      lib.replaceStrings [ "." ] [ "" ] short
    }-${stdenv.hostPlatform.uname.processor}-linux-gnu.so
    touch $out/lib/${libPrefix}/os.py
    cp ${setupHook} $out/nix-support/setup-hook
  '';

  native = raw "python3-${pythonVersion}" ''
    stdlib=$(${pythonExecutable} -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
    target=$out/lib/${libPrefix}
    mkdir -p $out/bin $out/lib $out/nix-support
    cp -r $stdlib $target
    chmod -R u+w $target
    rm -rf $target/test $target/EXTERNALLY-MANAGED $target/config-* $target/site-packages $target/dist-packages $target/sitecustomize.py
    find $target -name __pycache__ -prune -exec rm -rf {} +
    mkdir $target/site-packages
    # Debian's install scheme -> the upstream one.
    sed -i "s/'deb_layout', *'posix_local'/'deb_layout', 'posix_prefix'/; s/'DEB_PYTHON_INSTALL_LAYOUT', 'posix_local'/'DEB_PYTHON_INSTALL_LAYOUT', 'posix_prefix'/; s/prefix_scheme = 'posix_local'/prefix_scheme = 'posix_prefix'/" $(ls $target/sysconfig.py $target/sysconfig/__init__.py 2>/dev/null)
    # As nixpkgs': an environment says by NIX_PYTHONPATH where its packages are.
    cat > $target/sitecustomize.py <<'PY'
    import os, site, sys
    site.addsitedir(os.path.join(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages"))
    for directory in filter(None, os.environ.pop("NIX_PYTHONPATH", "").split(":")):
        site.addsitedir(directory)
    PY
    cp "$(readlink -f ${pythonExecutable})" $out/bin/${executable}
    chmod u+w $out/bin/${executable}
    for file in $out/bin/${executable} $target/lib-dynload/*.so; do
      ldd $file | awk '/=> \//{ print $3 }'
    done | sort -u | while read -r library; do
      [ -e ${glibc}/lib/$(basename $library) ] || cp -Ln $library $out/lib/
    done
    chmod -R u+w $out/lib
    for file in $target/lib-dynload/*.so $out/lib/*.so*; do
      patchelf --set-rpath $out/lib $file
    done
    # One after the other: both at once break the ET_EXEC of Debian 13's Python 3.13.
    patchelf --set-rpath $out/lib $out/bin/${executable}
    patchelf --set-interpreter ${glibc}/lib/${stdenv.hostPlatform.linker} $out/bin/${executable}
    ln -s ${executable} $out/bin/python3
    ln -s ${executable} $out/bin/python
    cp ${setupHook} $out/nix-support/setup-hook
    $out/bin/python3 -c 'import ssl, ctypes, bz2, lzma, zlib'
  '';

  self = asPackage (if cross then foreign else native) // passthru // {
    inherit passthru;
    pname = "python3";
    name = "python3-${pythonVersion}";
    override = _: self;
  };

  passthru = {
    inherit
      executable
      libPrefix
      sitePackages
      stdenv
      ;
    implementation = "cpython";
    version = pythonVersion;
    pythonVersion = short;
    sourceVersion = {
      major = lib.versions.major pythonVersion;
      minor = lib.versions.minor pythonVersion;
      patch = "0";
      suffix = "";
    };
    pythonABITags = [
      "abi3"
      "cp${lib.replaceStrings [ "." ] [ "" ] short}"
    ];
    interpreter = "${self}/bin/${executable}";
    isPy3k = true;
    isPyPy = false;
    pythonAtLeast = lib.versionAtLeast short;
    pythonOlder = lib.versionOlder short;
    pythonOnBuildForHost = if cross then buildPackages.hostPython else self;
    meta = {
      platforms = lib.platforms.linux;
      mainProgram = "python3";
    };
    pkgs = packages;
    buildEnv = lib.makeOverridable (
      {
        extraLibs ? [ ],
        python ? self,
        ignoreCollisions ? false,
        postBuild ? "",
        ...
      }:
      pkgs.buildEnv {
        inherit ignoreCollisions;
        name = "python3-env";
        paths = packages.requiredPythonModules extraLibs ++ [ self ];
        # Programs, not scripts: the interpreter takes the name that it is called
        # by for its place, and a shell would be looked for outside the store.
        postBuild = ''
          for program in $out/bin/*; do
            target=$(readlink -f $program)
            rm $program
            case ''${program##*/} in
            ${executable}) target=${python.interpreter} ;;
            python | python3)
              ln -s ${executable} $program
              continue
              ;;
            esac
            cat > wrapper.c <<C
          #include <stdlib.h>
          #include <unistd.h>
          int main(int argc, char **argv) {
            setenv("NIX_PYTHONPATH", "$out/${sitePackages}", 1);
            return execv("$target", argv);
          }
          C
            gcc wrapper.c -o $program -Wl,--dynamic-linker=${glibc}/lib/${stdenv.hostPlatform.linker}
          done
        ''
        + postBuild;
      }
    ) { };
    withPackages = f: self.buildEnv.override { extraLibs = f packages; };
  };

  # A pure wheel, unpacked as it is.
  # What a bare wheel needs to do its work.
  requires = {
    hatchling = [
      "packaging"
      "pathspec"
      "pluggy"
      "tomlkit"
      "trove-classifiers"
    ];
  };

  standIn =
    file:
    let
      pname = lib.replaceStrings [ "_" ] [ "-" ] (lib.toLower (lib.head (lib.splitString "-" file)));
    in
    lib.nameValuePair pname (
      packages.toPythonModule (
        stdenv.mkDerivation {
          inherit pname;
          version = lib.elemAt (lib.splitString "-" file) 1;
          dontUnpack = true;
          propagatedBuildInputs = map (name: packages.${name}) (requires.${pname} or [ ]);
          installPhase = ''
            mkdir -p $out/${sitePackages}
            ${self.pythonOnBuildForHost.interpreter} -m zipfile -e ${wheels + "/${file}"} $out/${sitePackages}
          '';
        }
      )
    );
  standIns =
    if wheels == null then
      { }
    else
      lib.listToAttrs (map standIn (lib.filter (lib.hasSuffix ".whl") (lib.attrNames (builtins.readDir wheels))));

  packages = lib.fix (
    lib.foldl' (set: extension: lib.extends extension set) (
      final:
      {
        # Names that a nixpkgs has, for what no test builds with.
        pip = null;
        tomli = null;
      }
      // standIns
      // import ./python-packages.nix {
        inherit
          lib
          pkgs
          stdenv
          final
          functionForm
          ;
        python = self;
      }
    ) pkgs.pythonPackagesExtensions
  );
in
self
