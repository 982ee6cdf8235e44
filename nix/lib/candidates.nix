# The file names that a wheel of a given format may have on an index.
let
  text = import ./text.nix;
  inherit (import ./wheel-name.nix) distributionNames;
  inherit (import ./platform.nix) parseFormat;
  inherit (import ./interpreter.nix) abiTag;

  join = builtins.concatStringsSep ".";

  # A dozen, so that a mistake costs a dozen requests at most.
  limit = 12;

  # Platform tags as tools have written them, the commonest first. auditwheel
  # wrote the legacy tag alone until 5.0, then PEP 600's before the legacy one,
  # and sorts them since 6.3; a wheel that also meets a newer policy, or musl's,
  # lists that one too.
  platformsOf =
    format: arch:
    let
      own = "${format.policy}_${arch}";
      old = "${format.legacy}_${arch}";
      t5 = [ "manylinux_2_5_${arch}" "manylinux1_${arch}" ];
      t17 = [ "manylinux_2_17_${arch}" "manylinux2014_${arch}" ];
      t28 = "manylinux_2_28_${arch}";
      musl = "musllinux_1_1_${arch}";
      isX86 = builtins.elem arch [ "x86_64" "i686" ];
      both = [ own old ];
      sorted = [ old own ];
    in
    map join (
      if format.family == "musllinux" then
        [ [ own ] ]
        ++ (
          if format.policy == "musllinux_1_1" then
            [ (t17 ++ [ musl ]) ]
            ++ (
              if isX86 then
                [
                  [ "manylinux1_${arch}" "manylinux_2_5_${arch}" musl ]
                  [ "manylinux_2_12_${arch}" "manylinux2010_${arch}" musl ]
                ]
              else
                [ ]
            )
          else
            [ ]
        )
      else if format.legacy == "manylinux1" then
        [ [ old ] both sorted (both ++ t17) (sorted ++ [ musl ]) [ own ] (both ++ [ musl ]) ]
      else if format.legacy == "manylinux2010" then
        [ [ old ] both sorted (both ++ [ musl ]) (both ++ t17) (sorted ++ [ musl ]) [ own ] ]
      else if format.legacy == "manylinux2014" then
        [ both sorted [ old ] ]
        ++ (if isX86 then [ (t5 ++ both) ] else [ ])
        ++ [ (sorted ++ [ t28 ]) (both ++ [ t28 ]) [ own ] (both ++ [ musl ]) ]
      else if format.major == 2 && format.minor == 28 then
        [ [ own ] ]
        ++ map (y: [ "manylinux_2_${y}_${arch}" own ]) [ "27" "26" "24" ]
        ++ [ (t17 ++ [ own ]) [ "manylinux2014_${arch}" "manylinux_2_17_${arch}" own ] ]
      else if format.major == 2 && format.minor > 17 && format.minor < 28 then
        [ [ own ] [ own t28 ] ]
      else
        [ [ own ] ]
    );

  # python and abi tags, by what was asked for.
  pairsOf =
    args:
    let
      version = args.pythonVersion or null;
      freeThreaded = args.freeThreaded or false;
      own = abiTag {
        pythonVersion = version;
        inherit freeThreaded;
      };
      # "cp313" out of "cp313t", "cp36" out of "cp36m".
      nodot = builtins.head (builtins.match "(cp[0-9]+).*" own);
      tagged = builtins.match "cp([0-9])([0-9]+)" args.python;
      numbers = builtins.splitVersion version;
      stable = if freeThreaded then "abi3t" else "abi3";
      abi = if args.abi or null == "abi3" then stable else args.abi or null;
      pair = python: abi: { inherit python abi; };
      # From 3.15 on one file can be for both stable ABIs (PEP 803).
      stablePairs =
        python:
        let
          minor = builtins.match "cp3([0-9]+)" python;
          hasBoth = minor != null && text.toInt (builtins.head minor) >= 15;
          both = if hasBoth then [ "abi3.abi3t" ] else [ ];
        in
        map (pair python) (if freeThreaded then both ++ [ stable ] else [ stable ] ++ both);
    in
    if args.python or null != null && abi == stable then
      stablePairs args.python
    else if args.python or null != null then
      [
        (pair args.python (
          if abi != null then
            abi
          else if tagged == null then
            "none"
          else
            abiTag {
              pythonVersion = "${builtins.head tagged}.${builtins.elemAt tagged 1}";
              inherit freeThreaded;
            }
        ))
      ]
    else if version == null then
      throw ''
        nix-manylinux: fetchPypi { pname = "${args.pname}"; format = "${args.format}"; } has no Python version to make the file name from.
          Write `pythonVersion = python.version;`, or `python = "py3";` for wheels that fit every Python, or give the whole name as `file`.
      ''
    else if abi == stable then
      # The oldest Python that it supports is the wheel's, so count down.
      text.take 6 (
        builtins.concatMap (minor: stablePairs "cp${builtins.head numbers}${toString minor}") (
          text.countDown (text.toInt (builtins.elemAt numbers 1)) 2
        )
      )
    else
      [ (pair nodot (if abi == null then own else abi)) ];
in
{
  /**
    At most a dozen names, the likeliest first. `version` of a result holds the
    build tag, as the name has it. `platform` may be a whole platform tag: then
    it is taken as it is.

    # Type

    ```
    wheelCandidates :: { pname, version, format, arch, pythonVersion ?, python ?,
      abi ?, platform ?, build ?, freeThreaded ? } -> [ { file, distribution,
      version, python, abi, platform } ]
    ```
  */
  wheelCandidates =
    args:
    let
      format = parseFormat args.format;
      version =
        builtins.replaceStrings [ "-" ] [ "_" ] args.version
        + (if args.build or null == null then "" else "-${toString args.build}");
      platforms =
        if args.platform or null != null then [ args.platform ] else platformsOf format args.arch;
    in
    text.take limit (
      builtins.concatMap (
        platform:
        builtins.concatMap (
          pair:
          map (distribution: {
            inherit distribution version platform;
            inherit (pair) python abi;
            file = "${distribution}-${version}-${pair.python}-${pair.abi}-${platform}.whl";
          }) (distributionNames args.pname)
        ) (pairsOf args)
      ) platforms
    );
}
