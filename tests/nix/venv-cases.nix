# Development shells with a virtual environment.
{ pkgs }:
let
  hook = pkgs.manylinuxVenvHook.override { python = pkgs.hostPython; };
  shell =
    attrs:
    pkgs.stdenv.mkDerivation (
      {
        name = "shell";
        nativeBuildInputs = [ hook ];
        buildInputs = [ pkgs.nest ];
        strictDeps = true;
      }
      // attrs
    );
in
{
  inherit hook;
  inherit (hook) interpreter;
  shell = shell { };
  elsewhere = shell {
    venvDir = "some where/env";
    postVenvCreation = "echo created";
  };
  # As `nix-shell -p manylinuxVenvHook nest` has it.
  ofPackages = shell {
    nativeBuildInputs = [ ];
    buildInputs = [
      hook
      pkgs.nest
    ];
    strictDeps = false;
  };
  # Nothing that the wheel needs is among its inputs.
  lacking = shell { buildInputs = [ ]; };
  ignoring = shell {
    buildInputs = [ ];
    manylinuxIgnoreMissingDeps = [ "libnest.so.1" ];
  };
  misspelt = shell { manylinuxIgnoreMissing = [ "libnest.so.1" ]; };
  # A library, an extension module by its name, and a program, all of which want one library.
  wheel = (import ./fixtures.nix { inherit pkgs; }).probe {
    also = ''
      cp $wheel/probe/_probe.so $wheel/probe/_module.abi3.so
      mkdir -p $wheel/probe-1.0.data/scripts
      echo 'int nest_answer(void); int main(void) { return nest_answer() - 42; }' |
        gcc -x c - -o $wheel/probe-1.0.data/scripts/ask -L${pkgs.nest}/lib -l:libnest.so.1
    '';
  };
  # One that needs nothing but a libc in its place.
  plain = (import ./fixtures.nix { inherit pkgs; }).makeWheel {
    name = "plain-1.0-py3-none-manylinux_2_17_x86_64.whl";
    script = ''
      mkdir -p $wheel/plain $wheel/plain-1.0.data/scripts
      touch $wheel/plain/__init__.py
      echo 'int main(void) { return 0; }' | gcc -x c - -o $wheel/plain-1.0.data/scripts/plain -Wl,--dynamic-linker=/nowhere/ld.so
    '';
  };
}
