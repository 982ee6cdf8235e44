# A lock that a test has made, with its wheels from a folder in place of the network.
{
  pkgs,
  lock,
  wheels,
}:
let
  arguments = {
    inherit lock;
    python = pkgs.hostPython;
    # These three, always: a lock of requirements names no address.
    fetch = { file, sha256, url }: builtins.path {
      name = file;
      path = wheels + "/${file}";
    };
  };
  # The lock, with other things in its environments.
  changed =
    change:
    let
      value = builtins.fromJSON (builtins.readFile lock);
    in
    value // { environments = builtins.mapAttrs (_: each: each // change each) value.environments; };
  make = more: pkgs.manylinuxLockedPackages (arguments // more);
in
{
  set = make { };
  # As who gives no `fetch` has it.
  fetched = pkgs.manylinuxLockedPackages (removeAttrs arguments [ "fetch" ]);
  fetchedByUrl = pkgs.manylinuxLockedPackages {
    inherit (arguments) python;
    lock = changed (each: {
      packages = builtins.mapAttrs (
        _: entry: entry // { url = "https://localhost/${entry.file}"; }
      ) each.packages;
    });
  };
  withProjects = make { projects = true; };
  # What is to be pasted for the sources of the lock, of which none lies anywhere.
  byHand = builtins.concatStringsSep "\n" (
    (import ../../nix/locked-sources.nix {
      inherit pkgs;
      inherit (pkgs) lib;
      inherit (arguments) python;
      attribute = "python3";
      kind = "uv.lock";
      placeOf = _: null;
      placeAtHand = throw "not asked for";
      atHand = throw "not asked for";
    }).linesOf
      (builtins.head (
        map (each: each.sources) (
          builtins.attrValues (builtins.fromJSON (builtins.readFile lock)).environments
        )
      ))
  );
  # As the file has it, which no value can be made from.
  asValue = make { lock = builtins.fromJSON (builtins.readFile lock); };
  stale = (make { lockFile = ./locked-cases.nix; }).env;
  otherSystem = (make { system = "riscv64-linux"; }).env;
  otherPython = (make { python = pkgs.python3 // { pythonVersion = "3.6"; }; }).env;
  overridden = make {
    overrides = final: prev: {
      aa = prev.aa.overridePythonAttrs (old: {
        passthru = old.passthru // {
          mine = "${old.pname} ${old.version}";
        };
      });
    };
  };
  # A package that may lack libraries, as its attributes say in every way, and one that requires it.
  lacking =
    (make {
      overrides = final: prev: {
        lacking = prev.lacking.overridePythonAttrs (old: {
          manylinuxIgnoreMissingDeps = [ "lacking/_a.*:libnobody-a.so.7" ];
          manylinuxExclude = [ "*lib/lacking/_b.abi3.so" ];
          manylinuxDriverLibs = [ "libnobody-c.so.7" ];
          manylinuxProvidedLater = "libnobody-f.so.7";
          autoPatchelfIgnoreMissingDeps = [ "libnobody-g.so.*" ];
          manylinuxFixupFlags = old.manylinuxFixupFlags ++ [
            "--ignore-missing"
            "*/_d.abi3.so:libnobody-d.so.7"
            "--ignore-if-missing=libnobody-e.so.7"
          ];
        });
      };
    }).withPackages
      (set: [ set.user ]);
  # What is kept from the hook is found out in the end.
  unlinked =
    (make {
      overrides = final: prev: {
        lacking = prev.lacking.overridePythonAttrs { dontManylinuxFixup = true; };
      };
    }).env;
}
