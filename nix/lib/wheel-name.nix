# File names of wheels (the binary distribution format, PEP 427 and PEP 491).
let
  text = import ./text.nix;

  fileName =
    file:
    let
      whole = builtins.unsafeDiscardStringContext (toString file);
      bare = builtins.head (builtins.match "([^?#]*).*" whole);
      last = builtins.baseNameOf bare;
      stored = builtins.match "[0-9a-df-np-sv-z]{32}-(.*)" last;
      name =
        if stored != null && text.hasPrefix builtins.storeDir whole then builtins.head stored else last;
    in
    # "+" of local versions is often written so in URLs.
    builtins.replaceStrings [ "%2B" "%2b" "%21" ] [ "+" "+" "!" ] name;

  # Numbers before text, as packaging.utils.parse_wheel_filename reads them.
  parseBuild =
    tag:
    let
      groups = builtins.match "([0-9]+)(.*)" tag;
    in
    if groups == null then
      null
    else
      {
        number = text.toInt (builtins.head groups);
        suffix = builtins.elemAt groups 1;
      };
in
rec {
  /**
    The last part of a path, of a URL with or without query and fragment, or
    of a store path (its hash left out).

    # Type

    ```
    fileName :: string | path -> string
    ```
  */
  inherit fileName;

  /**
    PEP 503: what two spellings of one project have in common.

    # Type

    ```
    normalizeName :: string -> string
    ```
  */
  normalizeName = name: text.toLower (text.squeeze "[-_.]" "-" name);

  /**
    How wheels of a project may begin: as older tools wrote the name (case and
    dots kept), then as the specification has it since 2021 (lower case, runs
    of - _ . made one _). One item where both agree.

    # Type

    ```
    distributionNames :: string -> [ string ]
    ```
  */
  distributionNames =
    name:
    text.unique [
      (text.squeeze "[^A-Za-z0-9_.]" "_" name)
      (text.toLower (text.squeeze "[-_.]" "_" name))
    ];

  /**
    `file` may be a name, a path or a URL. `build` is null or { number; suffix; }.
    The tags are lists, compound ones taken apart. `variant` is the label of PEP
    825, which may stand behind the platform tag. Null for whatever is no
    wheel's name; never throws.

    # Type

    ```
    parseWheelName :: string | path -> null | {
      file, distribution, version, build, pythons, abis, platforms, variant? }
    ```
  */
  parseWheelName =
    file:
    let
      name = fileName file;
      parts = text.splitOn "-" (builtins.substring 0 (builtins.stringLength name - 4) name);
      at = builtins.elemAt parts;
      all = builtins.length parts;
      label = if all < 6 then null else builtins.match "[0-9a-z._]+" (at (all - 1));
      isVariant =
        label != null && (all == 7 || builtins.match "[A-Za-z]+[0-9][A-Za-z0-9_.]*" (at 2) != null);
      count = if isVariant then all - 1 else all;
      build = if count == 6 then parseBuild (at 2) else null;
      tags = i: text.splitOn "." (text.toLower (at i));
    in
    if
      !(text.hasSuffix ".whl" name)
      || (count != 5 && count != 6)
      || builtins.elem "" parts
      || (count == 6 && build == null)
    then
      null
    else
      {
        file = name;
        distribution = at 0;
        version = at 1;
        inherit build;
        pythons = tags (count - 3);
        abis = tags (count - 2);
        platforms = tags (count - 1);
      }
      // (if isVariant then { variant = at count; } else { });
}
