# fetchPypi that also fetches wheels by format, by file name, by URL, or the
# right one out of a list. A function around nixpkgs' own, which makes every
# URL; all other uses are handed on as they are.
{
  lib,
  stdenv,
  fetchurl,
  fetchPypi,
}:
let
  manylinux = import ./lib;

  platform = stdenv.hostPlatform;
  arch = platform.uname.processor or platform.parsed.cpu.name;

  # What a file name has that a store path may not.
  storeName =
    name:
    lib.concatStringsSep "-" (lib.filter lib.isString (builtins.split "[^A-Za-z0-9+._?=-]+" name));

  hashOf = args: builtins.intersectAttrs { hash = null; sha256 = null; } args;

  # What nixpkgs' own takes, whatever wheel it is; an index has the folder `dist`.
  givenOf = args: hashOf args // builtins.intersectAttrs { dist = null; } args;

  # Arguments as they were written, for messages.
  show =
    args:
    "{ ${
      lib.concatStrings (lib.mapAttrsToList (name: value: "${name} = ${builtins.toJSON value}; ") args)
    }}";

  # One wheel by the parts of its name. nixpkgs writes "${pname}-${version}-",
  # so a build tag goes where the version ends, as in the name.
  byParts =
    given: parts:
    fetchPypi (
      { dist = parts.python; }
      // given
      // {
        format = "wheel";
        pname = parts.distribution;
        inherit (parts)
          version
          python
          abi
          platform
          ;
      }
    );

  partsOf =
    wheel:
    let
      join = lib.concatStringsSep ".";
    in
    {
      inherit (wheel) distribution file;
      version =
        wheel.version
        + lib.optionalString (wheel.build != null) "-${toString wheel.build.number}${wheel.build.suffix}";
      python = join wheel.pythons;
      abi = join wheel.abis;
      # nixpkgs writes "${platform}.whl", so a variant label goes where the tag ends.
      platform = join wheel.platforms + lib.optionalString (wheel ? variant) "-${wheel.variant}";
    };

  # The first one's derivation with the URLs of all: what an earlier overlay
  # of fetchPypi or fetchurl does (mirrors, credentials) is kept.
  fetchAny =
    {
      given,
      candidates,
      urls ? null,
      failure ? null,
    }:
    (byParts given (lib.head candidates)).overrideAttrs (
      old:
      {
        name = storeName (lib.head candidates).file;
        urls =
          if urls != null then
            urls
          else
            lib.concatMap (candidate: (byParts given candidate).urls) candidates;
      }
      // lib.optionalAttrs (failure != null) { failureHook = old.failureHook or "" + failure; }
      // {
        passthru = old.passthru or { } // {
          # The file names that are asked for, in this order.
          candidates = map (candidate: candidate.file) candidates;
        };
      }
    );

  parseOrThrow =
    args: file:
    let
      wheel = manylinux.parseWheelName file;
    in
    if wheel != null then
      wheel
    else
      throw ''
        nix-manylinux: fetchPypi ${show args}: ${file} is no wheel's file name.
          It has the form NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl; the index shows it under "Download files".'';

  # file = "….whl";
  byFile =
    args:
    let
      wheel = parseOrThrow args args.file;
    in
    fetchAny {
      given = givenOf args;
      candidates = [ (partsOf wheel) ];
      failure = ''
        echo ${lib.escapeShellArg ''
          nix-manylinux: fetchPypi asked the default index for ${wheel.file}.
          It has no such file, or not at the address that the name makes, as where another index or a mirror has it. In place of file write the whole address, url = "https://…/….whl"; as pip knows it: pip install --dry-run --ignore-installed --no-deps --report - ${wheel.distribution}==${wheel.version} | sed -n 's/.*"url": \("[^"]*"\).*/url = \1;/p'
          A file that is on this machine: `nix-manylinux expr WHEEL --local`, or its path as src.''} >&2
      '';
    };

  # url = "https://…/….whl"; file may name it where the URL doesn't.
  byUrl =
    args:
    fetchAny {
      given = givenOf args;
      candidates = [ (partsOf (parseOrThrow args (args.file or args.url))) ];
      # Through fetchurl, so that rewriteURL has its say.
      urls = (fetchurl ({ inherit (args) url; } // hashOf args)).urls;
      failure = ''
        echo ${lib.escapeShellArg ''
          nix-manylinux: fetchPypi could not fetch this by its url. Where an index wants a password, download the wheel (pip download --no-deps NAME==VERSION), and take the file: `nix-manylinux expr WHEEL --local`.''} >&2
      '';
    };

  # files = [ { file = "….whl"; hash = "…"; } … ];
  byList =
    args:
    let
      interpreter = manylinux.interpreter {
        pythonVersion =
          args.pythonVersion or (throw ''
            nix-manylinux: fetchPypi { files = [ ... ]; } has no Python version to choose for.
              Write `pythonVersion = python.version;`.'');
        implementation = args.implementation or "cpython";
        freeThreaded = args.freeThreaded or false;
        abis = args.abis or [ ];
        inherit arch;
        libc = platform.libc or "unknown";
        libcVersion = stdenv.cc.libc.version or "0";
      };
      query = {
        python = interpreter;
        inherit (args) files;
      };
      chosen = manylinux.selectWheel query;
    in
    if chosen == null then
      throw ''
        nix-manylinux: fetchPypi: none of the files fits ${interpreter.name} on ${arch} (${interpreter.libc} ${interpreter.libcVersion}):
        ${manylinux.describeFiles query}
          What would fit: ${manylinux.whatFits interpreter}.''
    else if chosen ? url then
      byUrl chosen
    else
      byFile chosen;

  # format = "manylinux2014"; pythonVersion = python.version;
  byFormat =
    args:
    let
      candidates = manylinux.wheelCandidates ({ inherit arch; } // args);
      names = map (candidate: candidate.file) candidates;
    in
    fetchAny {
      given = givenOf args;
      inherit candidates;
      failure = ''
        echo ${lib.escapeShellArg ''
          nix-manylinux: fetchPypi found none of the names that this wheel may have:
          ${lib.concatMapStringsSep "\n" (name: "  ${name}") names}
          They were made from ${show (removeAttrs args [ "hash" "sha256" ])} on ${arch}.
          `nix-manylinux expr ${args.pname}==${args.version} --python-version 3.N` finds the wheel for a Python; give its name as file = "….whl".''} >&2
      '';
    };

  known = [
    "abi"
    "abis"
    "build"
    "dist"
    "file"
    "files"
    "format"
    "freeThreaded"
    "hash"
    "implementation"
    "platform"
    "pname"
    "python"
    "pythonVersion"
    "sha256"
    "url"
    "version"
  ];

  checked =
    args: result:
    let
      unknown = lib.attrNames (removeAttrs args known);
    in
    if unknown == [ ] then
      result
    else
      throw ''
        nix-manylinux: fetchPypi knows no ${lib.concatStringsSep ", " unknown} for wheels${
          lib.optionalString (args ? format) " (format = \"${args.format}\")"
        }.
          It takes ${lib.concatStringsSep ", " known}.'';

  fetch =
    args:
    let
      format = args.format or null;
    in
    if args ? files then
      checked args (byList args)
    else if args ? url then
      checked args (byUrl args)
    else if args ? file then
      checked args (byFile args)
    else if manylinux.parseFormat format != null then
      checked args (byFormat args)
    else if manylinux.isMisspeltFormat format then
      throw ''
        nix-manylinux: fetchPypi: format = "${format}" is misspelt.
          The formats are "manylinux1", "manylinux2010", "manylinux2014", "manylinux_X_Y" and "musllinux_X_Y", without an architecture.''
    else
      fetchPypi args;

  withFunctionArgs = lib.flip lib.setFunctionArgs (lib.functionArgs fetchPypi);
in
withFunctionArgs (lib.makeOverridable fetch)
// lib.optionalAttrs (fetchPypi ? override) {
  override = lib.setFunctionArgs (
    newArgs:
    import ./fetch-pypi.nix {
      inherit lib stdenv fetchurl;
      fetchPypi = fetchPypi.override newArgs;
    }
  ) (lib.functionArgs fetchPypi.override);
}
