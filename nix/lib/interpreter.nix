# What an interpreter on a platform takes: the ordered tags of packaging.tags.
let
  text = import ./text.nix;
  inherit (import ./platform.nix) platformTags;

  parseVersion =
    version:
    let
      numbers = map text.toInt (builtins.filter text.isDigits (builtins.splitVersion version));
    in
    if builtins.length numbers < 2 then
      throw "nix-manylinux: pythonVersion = \"${version}\" is no Python version: write it as \"3.11\" or \"3.11.5\""
    else
      numbers;

  # PEP 425 and packaging.tags._cpython_abis: "m" for pymalloc until 3.7, "u"
  # for wide Unicode until 3.2, "t" for free threading from 3.13 on.
  cpythonAbi =
    major: minor: freeThreaded:
    "cp${toString major}${toString minor}"
    + (
      if major == 2 || (major == 3 && minor < 3) then
        "mu"
      else if major == 3 && minor < 8 then
        "m"
      else if freeThreaded then
        "t"
      else
        ""
    );

  shortNames = {
    cpython = "cp";
    pypy = "pp";
  };
in
rec {
  /**
    CPython's own ABI tag: "cp36m", "cp311", "cp313t".

    # Type

    ```
    abiTag :: { pythonVersion, freeThreaded ? } -> string
    ```
  */
  abiTag =
    {
      pythonVersion,
      freeThreaded ? false,
    }:
    let
      numbers = parseVersion pythonVersion;
    in
    cpythonAbi (builtins.elemAt numbers 0) (builtins.elemAt numbers 1) freeThreaded;

  /**
    A value for selectWheel and its friends, spelt out. `abis` are the
    interpreter's own ABI tags, for implementations other than CPython.

    # Type

    ```
    interpreter :: { pythonVersion, arch, libc ?, libcVersion, implementation ?,
      freeThreaded ?, abis ? } -> interpreter
    ```
  */
  interpreter =
    {
      pythonVersion,
      arch,
      libc ? "glibc",
      libcVersion,
      implementation ? "cpython",
      freeThreaded ? false,
      abis ? [ ],
    }:
    let
      numbers = parseVersion pythonVersion;
      major = builtins.elemAt numbers 0;
      minor = builtins.elemAt numbers 1;
      nodot = y: "${toString major}${toString y}";
      isCPython = implementation == "cpython";
      tag = "${shortNames.${implementation} or implementation}${nodot minor}";
      stable = if freeThreaded then "abi3t" else "abi3";
      hasStable = isCPython && major == 3 && minor >= 2;
      pure = map (py: "${py}-none") (
        [
          "py${nodot minor}"
          "py${toString major}"
        ]
        ++ map (y: "py${nodot y}") (text.countDown (minor - 1) 0)
      );
      ownAbis =
        if isCPython then [ (cpythonAbi major minor freeThreaded) ] else text.unique (abis ++ [ "none" ]);
      self = {
        _type = "nix-manylinux-interpreter";
        inherit
          implementation
          freeThreaded
          arch
          libc
          libcVersion
          major
          minor
          ;
        name = "${
          {
            cpython = "CPython";
            pypy = "PyPy";
          }
          .${implementation} or implementation
        } ${toString major}.${toString minor}${if freeThreaded then "t" else ""}";
        # "python-abi" pairs, the best first: with a platform of the machine, and
        # with "any".
        nativeTags =
          (
            if isCPython then
              map (abi: "${tag}-${abi}") ownAbis
              ++ (if hasStable then [ "${tag}-${stable}" ] else [ ])
              ++ [ "${tag}-none" ]
              ++ (
                if hasStable then map (y: "cp${nodot y}-${stable}") (text.countDown (minor - 1) 2) else [ ]
              )
            else
              map (abi: "${tag}-${abi}") ownAbis
          )
          ++ pure;
        anyTags =
          (
            if isCPython then
              [ "${tag}-none" ]
            else if implementation == "pypy" then
              [ "pp${toString major}-none" ]
            else
              [ ]
          )
          ++ pure;
        platforms = platformTags { inherit arch libc libcVersion; };
        # Where each of these lists has what, for all wheels that are held against them.
        _places = {
          native = text.positions self.nativeTags;
          any = text.positions self.anyTags;
          platforms = text.positions self.platforms;
        };
      };
    in
    self;

  /**
    From an interpreter of nixpkgs. The machine is uname's name for it
    (ppc64le, not powerpc64le); the libc is the one that the interpreter's
    stdenv links with. On other systems than Linux the platform's own tag is
    all that there is, so only pure wheels fit.

    # Type

    ```
    interpreterOf :: python -> interpreter
    ```
  */
  interpreterOf =
    python:
    let
      inherit (python.stdenv) hostPlatform;
      # nixpkgs lists abi3 for free-threaded builds too, so the name decides.
      own = builtins.filter (abi: abi != "abi3" && abi != "none") (python.pythonABITags or [ ]);
    in
    interpreter {
      inherit (python) pythonVersion;
      implementation = python.implementation or "cpython";
      freeThreaded =
        text.hasSuffix "t" (python.executable or "")
        || builtins.any (abi: builtins.match "cp[0-9]+t" abi != null) own;
      abis = own;
      arch = hostPlatform.uname.processor or hostPlatform.parsed.cpu.name;
      libc = hostPlatform.libc or "unknown";
      libcVersion = python.stdenv.cc.libc.version or "0";
    };

  /**
    Every "python-abi-platform" that fits, the best first: the order of
    packaging.tags.sys_tags, which pip ranks wheels by.

    # Type

    ```
    supportedTags :: interpreter | python -> [ string ]
    ```
  */
  supportedTags =
    python:
    let
      self = if python._type or null == "nix-manylinux-interpreter" then python else interpreterOf python;
    in
    builtins.concatMap (pair: map (platform: "${pair}-${platform}") self.platforms) self.nativeTags
    ++ map (pair: "${pair}-any") self.anyTags;
}
