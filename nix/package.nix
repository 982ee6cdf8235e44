# The command and the library. A module of the Python set; at the top level it
# is an application (toPythonApplication).
{
  lib,
  buildPythonPackage,
  python,
  runCommand,
  hatchling,
  installer,
  packaging,
  pyelftools,
  tomli ? null, # only older interpreters have no tomllib
  # What `lock` and `expr NAME==VERSION` fetch with; hooks need neither. Without it they
  # take the pip or the uv that is on PATH.
  withPip ? false,
  pip ? null,
}:
let
  project = builtins.fromTOML (builtins.readFile ../pyproject.toml);
  sources = builtins.path {
    name = "nix-manylinux-src";
    path = ../src;
    filter = path: _: baseNameOf path != "__pycache__";
  };
in
buildPythonPackage {
  pname = project.project.name;
  inherit (project.project) version;
  pyproject = true;

  # Only what the build reads, so that a change of the documentation rebuilds nothing. Put
  # together of its parts: the checkout itself may be a link, which Nix 2.8 would copy as one.
  src = runCommand "nix-manylinux-source" { } ''
    mkdir $out
    cp ${../LICENSE} $out/LICENSE
    cp ${../README.md} $out/README.md
    cp ${../pyproject.toml} $out/pyproject.toml
    cp -r ${../share} $out/share
    cp -r ${sources} $out/src
  '';

  build-system = [ hatchling ];
  dependencies = [
    installer
    packaging
    pyelftools
  ]
  ++ lib.optional (python.pythonOlder "3.11") tomli
  ++ lib.optional withPip pip;

  # Called inside the build of a Python package, the environment's PYTHONPATH
  # begins with the package under construction: building the wheel `packaging`,
  # the tool would import that one.
  makeWrapperArgs = [
    "--unset PYTHONPATH"
    "--unset PYTHONHOME"
  ];

  pythonImportsCheck = [ "nix_manylinux" ];

  meta = {
    inherit (project.project) description;
    license = lib.licenses.mit;
    mainProgram = "nix-manylinux";
  };
}
