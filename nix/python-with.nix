# An interpreter whose standard library has something more in it, for its virtual
# environments, too: links to another one's, around a copy of its program, since
# Python looks for its standard library beside its executable, links resolved.
{ lib, stdenv }:
{
  python,
  pname,
  # Further attributes of the derivation. What postInstall puts into
  # $out/$stdlib takes the place of a link there.
  ...
}@args:
let
  self = stdenv.mkDerivation (
    removeAttrs args [
      "python"
      "passthru"
    ]
    // {
      version = python.version or python.pythonVersion;

      strictDeps = true;
      dontUnpack = true;
      # shrink-rpath would take out every library that Python itself doesn't need.
      dontPatchELF = true;
      dontStrip = true;

      stdlib = "lib/${python.libPrefix}";

      installPhase = ''
        runHook preInstall

        linkInto() {
          mkdir -p $out/$1
          for entry in ${python}/$1/*; do
            case " $2 " in
            *" ''${entry##*/} "*) ;;
            *) ln -s $entry $out/$1/ ;;
            esac
          done
        }
        mkdir $out
        for entry in ${python}/*; do
          case ''${entry##*/} in
          bin | lib | nix-support) ;;
          *) ln -s $entry $out/ ;;
          esac
        done
        linkInto lib ${python.libPrefix}
        linkInto $stdlib "site-packages lib-dynload"
        linkInto $stdlib/site-packages
        linkInto $stdlib/lib-dynload
        if [ -e ${python}/nix-support/setup-hook ]; then
          install -Dm 444 ${python}/nix-support/setup-hook $out/nix-support/setup-hook
        fi

        mkdir $out/bin
        install -m 755 ${python}/bin/${python.executable} $out/bin/${python.executable}
        for entry in ${python}/bin/*; do
          name=''${entry##*/}
          if [ $name = ${python.executable} ]; then
            continue
          elif [ "$(readlink -f $entry)" = "$(readlink -f ${python}/bin/${python.executable})" ]; then
            ln -s ${python.executable} $out/bin/$name
          else
            ln -s $entry $out/bin/$name
          fi
        done

        runHook postInstall
      '';

      passthru =
        removeAttrs (python.passthru or { }) [ "tests" ]
        // {
          interpreter = "${self}/bin/${python.executable}";
        }
        // args.passthru or { };

      meta = {
        mainProgram = python.executable;
        platforms = lib.platforms.linux;
      }
      // args.meta or { };
    }
  );
in
self
