# What nixpkgs gains: names only, each thing is in a file of its own.
final: prev:
import ./x-names.nix final prev
// {
  fetchPypi = import ./fetch-pypi.nix {
    inherit (final) lib stdenv fetchurl;
    inherit (prev) fetchPypi;
  };

  pythonManylinuxPackages = import ./policies.nix {
    inherit (final) lib;
    pkgs = final;
    previous = prev.pythonManylinuxPackages or { };
  };

  # One derivation for the top level and for every Python set, so that a build
  # which meets it twice patches once.
  manylinuxFixupHook = final.callPackage ./manylinux-fixup-hook.nix { };
  manylinuxInstallHook = final.callPackage ./manylinux-install-hook.nix { python = final.python3; };
  manylinuxVenvHook = final.callPackage ./manylinux-venv-hook.nix { };

  patchManylinuxWheel = import ./patch-manylinux-wheel.nix {
    inherit (final)
      lib
      runCommandCC
      manylinuxFixupHook
      pythonManylinuxPackages
      ;
  };

  buildManylinuxWheel = import ./build-manylinux-wheel.nix {
    inherit (final) lib runCommandCC buildPackages;
  };

  manylinuxStdenv = import ./manylinux-stdenv.nix {
    inherit (final)
      lib
      stdenv
      overrideCC
      runCommand
      buildPackages
      ;
  };

  manylinuxWheels = import ./manylinux-wheels.nix {
    inherit (final) lib runCommand buildPackages;
  };

  manylinuxLockedPackages = import ./locked-packages.nix {
    inherit (final)
      lib
      fetchurl
      fetchPypi
      manylinuxFixupHook
      manylinuxInstallHook
      nix-manylinux
      ;
    pkgs = final;
  };

  manylinuxPython = import ./manylinux-python.nix {
    inherit (final)
      lib
      stdenv
      patchelf
      pythonManylinuxPackages
      ;
  };

  nix-manylinux = final.python3Packages.toPythonApplication final.python3Packages.nix-manylinux;

  pythonPackagesExtensions = prev.pythonPackagesExtensions or [ ] ++ [
    (
      pyfinal: pyprev:
      let
        withFormats = import ./build-python-package.nix {
          inherit (final)
            lib
            buildManylinuxWheel
            manylinuxFixupHook
            manylinuxInstallHook
            pythonManylinuxPackages
            ;
          inherit (pyfinal) python;
        };
      in
      {
        buildPythonPackage = withFormats pyprev.buildPythonPackage;
        buildPythonApplication = withFormats pyprev.buildPythonApplication;
        nix-manylinux = pyfinal.callPackage ./package.nix { };
        manylinux-compat = pyfinal.callPackage ./manylinux-compat.nix { };
        inherit (final) buildManylinuxWheel manylinuxFixupHook manylinuxInstallHook;
      }
    )
  ];
}
