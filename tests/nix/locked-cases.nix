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
  make = more: pkgs.manylinuxLockedPackages (arguments // more);
in
{
  set = make { };
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
}
