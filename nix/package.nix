# The command and the library. A module of the Python set; at the top level it
# is an application (toPythonApplication).
{
  lib,
  buildPythonPackage,
  python,
  hatchling,
  installer,
  packaging,
  tomli ? null, # only older interpreters have no tomllib
}:
let
  # Only what the build reads, so that a change of the documentation rebuilds nothing.
  root = toString ../.;
  project = builtins.fromTOML (builtins.readFile ../pyproject.toml);
in
buildPythonPackage {
  pname = project.project.name;
  inherit (project.project) version;
  pyproject = true;

  src = builtins.path {
    name = "nix-manylinux-source";
    path = ../.;
    filter =
      path: _:
      let
        relative = lib.removePrefix "${root}/" path;
      in
      lib.elem relative [
        "pyproject.toml"
        "README.md"
        "LICENSE"
        "share"
        "src"
      ]
      || lib.hasPrefix "share/" relative
      || (lib.hasPrefix "src/" relative && baseNameOf path != "__pycache__");
  };

  build-system = [ hatchling ];
  dependencies = [
    installer
    packaging
  ]
  ++ lib.optional (python.pythonOlder "3.11") tomli;

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
