# The command and the library. A module of the Python set; at the top level it
# is an application (toPythonApplication).
{
  lib,
  stdenv,
  buildPythonPackage,
  python,
  runCommand,
  hatchling,
  installer,
  packaging,
  pyelftools,
  tomli, # only older interpreters have no tomllib
  # What `lock` and `expr NAME==VERSION` fetch with; hooks need neither. Without it they
  # take the pip or the uv that is on PATH.
  withPip ? false,
  pip,
}:
let
  data = import ./data.nix;
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

  # The tests of the project want real wheels and compilers of all kinds. This is
  # the command as it is installed, on what the build's own compiler makes.
  doInstallCheck = true;
  installCheckPhase = ''
    runHook preInstallCheck

    $out/bin/nix-manylinux --version | grep -F ${lib.escapeShellArg project.project.version}
    # What Nix has read is what the command knows.
    # File by file: beside them lies what a Python that ran in the checkout has compiled.
    ${lib.concatMapStrings (file: ''
      cmp ${data.folder + "/${file}"} "$out/${python.sitePackages}/nix_manylinux/data/${file}"
    '') data.files}
  ''
  + lib.optionalString stdenv.hostPlatform.isLinux ''
    mkdir libs tree
    echo 'int one(void) { return 1; }' > one.c
    echo 'int one(void); int two(void) { return one() + one(); }' > two.c
    ''${CC:-cc} -shared -fPIC one.c -o libs/libone.so
    ''${CC:-cc} -shared -fPIC two.c -o tree/two.so -Llibs -lone
    if $out/bin/nix-manylinux check --quiet tree >/dev/null 2>&1; then
      echo "a library is missing, and was not missed" >&2
      exit 1
    fi
    $out/bin/nix-manylinux patch --libs "$PWD/libs" tree
    $out/bin/nix-manylinux check tree
  ''
  + ''

    runHook postInstallCheck
  '';

  meta = {
    inherit (project.project) description;
    longDescription = ''
      Links the libraries and programs in Python wheels to those of the Nix store,
      or says all that is missing at once; says what a wheel needs; writes
      expressions and locks; makes wheels that were built here run on any Linux.
    '';
    license = lib.licenses.mit;
    mainProgram = "nix-manylinux";
  };
}
