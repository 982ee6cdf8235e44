# For a Python set of pyproject.nix, as uv2nix fills it from a uv.lock: every
# wheel is built with our hook in place of autoPatchelfHook, and is given what
# nobody should have to write by hand: the libraries that wheels want beyond
# their policy, and the packages that it requires. Put it behind the lock's own
# overlay in `overrideScope`.
{
  # More packages with libraries, for every wheel.
  libs ? [ ],
  # Those of pythonManylinuxPackages.common.
  autoLibs ? true,
}:
final: prev:
let
  pkgs = if prev.pkgs ? manylinuxFixupHook then prev.pkgs else prev.pkgs.extend (import ./overlay.nix);
  inherit (pkgs) lib;

  manylinux = import ./lib;
  carriedOptions = import ./carried-options.nix { inherit lib; };

  offered = libs ++ lib.optionals autoLibs pkgs.pythonManylinuxPackages.common;

  # What uv2nix calls a package that it takes from a wheel.
  isWheel = package: lib.isDerivation package && package.passthru.format or null == "wheel";

  # No pure wheel has or wants a library.
  isPlatformWheel =
    package:
    isWheel package
    && (
      let
        wheel = manylinux.parseWheelName (package.src.name or (baseNameOf (toString package.src)));
      in
      wheel == null || !lib.elem "any" wheel.platforms
    );

  # A lock holds the extras that somebody asked for, and no others.
  requiredBy =
    { key }:
    let
      passthru = prev.${key}.passthru or { };
      all = lib.foldl' (found: more: found // more) (passthru.dependencies or { }) (
        lib.attrValues (passthru.optional-dependencies or { })
      );
    in
    map (key: { inherit key; }) (lib.filter (each: prev ? ${each}) (lib.attrNames all));

  # The wheels that a package requires, directly or through others; it is one of
  # them itself where they are a circle.
  requiredWheels = lib.mapAttrs (
    name: _:
    lib.filter (each: isPlatformWheel prev.${each}) (
      map (each: each.key) (
        builtins.genericClosure {
          startSet = requiredBy { key = name; };
          operator = requiredBy;
        }
      )
    )
  ) prev;

  # Wheels that require each other are one package: none of them could be linked,
  # or even named, without the others. All of their names lead to it.
  circleOf =
    name:
    let
      circle = lib.filter (each: lib.elem name requiredWheels.${each}) requiredWheels.${name};
    in
    if circle == [ ] then [ name ] else lib.sort (a: b: a < b) circle;

  linked =
    name: package:
    let
      circle = circleOf name;
      leader = lib.head circle;
      wheels = map (each: prev.${each}.src) (lib.tail circle);
    in
    if name != leader then
      final.${leader} // { inherit (package) pname version passthru; }
    else
      package.overrideAttrs (
        old:
        {
          # Build tools are no place for a wheel's libraries.
          strictDeps = old.strictDeps or true;
          # The first interpreter is the one that the wheel is linked for.
          buildInputs = [
            final.python
          ]
          ++ map (each: final.${each}) (
            lib.filter (each: !lib.elem each circle) (
              lib.unique (lib.concatMap (each: requiredWheels.${each}) circle)
            )
          )
          ++ old.buildInputs or [ ]
          ++ offered;
          manylinuxFixupFlags = [ "--missing=leaves" ] ++ old.manylinuxFixupFlags or [ ];
        }
        // lib.optionalAttrs (wheels != [ ]) {
          # In one call: it knows a file that several of them bring.
          nativeBuildInputs = old.nativeBuildInputs or [ ] ++ [ pkgs.manylinuxInstallHook ];
          preInstall = ''
            ${old.preInstall or ""}
            for wheel in ${toString wheels}; do
              ln -s "$wheel" "dist/$(stripHash "$wheel")"
            done
          '';
          installPhase = "manylinuxInstallPhase";
        }
      );
in
lib.mapAttrs (name: package: if isPlatformWheel package then linked name package else package) prev
// {
  autoPatchelfHook = pkgs.manylinuxFixupHook;
  inherit (pkgs) manylinuxFixupHook pythonManylinuxPackages;

  # Whatever the parts said: the whole has to load, but for what a part may lack.
  mkVirtualEnv =
    name: specification:
    (prev.mkVirtualEnv name specification).overrideAttrs (old: {
      postInstall = ''
        ${old.postInstall or ""}
        echo "nix-manylinux: checks the environment, but for its links to the interpreter (bin/python*)"
        if ! ${lib.getExe pkgs.nix-manylinux} check --missing leaves --exclude 'bin/python*' \
          ${
            lib.escapeShellArgs (
              carriedOptions (
                map (each: final.${each.key}) (
                  builtins.genericClosure {
                    startSet = map (key: { inherit key; }) (
                      lib.filter (each: prev ? ${each}) (lib.attrNames specification)
                    );
                    operator = requiredBy;
                  }
                )
              )
            )
          } "$out"; then
          echo "nix-manylinux: each attribute belongs to the package that the file is from, in an overlay behind this one: NAME = prev.NAME.overrideAttrs { ATTRIBUTE = ...; };" >&2
          exit 1
        fi
      '';
    });
}
