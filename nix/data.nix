# The facts that Nix and the command share, which Nix reads while it evaluates. All
# of it is read through here: where the command's source is fetched, as in nixpkgs,
# reading it there would build before anything is evaluated. There `folder` is a
# copy of these files beside the expressions; the check of the command's package fails
# when it is not that of the command.
rec {
  folder = ../src/nix_manylinux/data;

  # What is read of it: nothing else has to be copied.
  files = [
    "common-packages.json"
    "libraries.json"
    "manylinux-policies.json"
    "nixpkgs-xorg-renames.tsv"
    "policy-packages.json"
  ];

  text =
    name:
    assert builtins.elem name files;
    builtins.readFile (folder + "/${name}");
  json = name: builtins.fromJSON (text name);
}
