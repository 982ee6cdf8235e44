{
  # Without flakes: nix-manylinux, cloned or linked beside this file. The flake gives its own.
  pkgs ? import <nixpkgs> { overlays = [ (import ./nix-manylinux/nix/overlay.nix) ]; },
}:
pkgs.mkShell {
  name = "venv";
  packages = [
    # Your project's Python, as its requires-python wants it.
    (pkgs.manylinuxVenvHook.override { python = pkgs.python312; })
    pkgs.uv
  ];
  # Libraries that wheels want beyond the common ones go here: pkgs.portaudio
  buildInputs = [ ];
}
