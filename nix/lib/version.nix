# Versions of Python packages, compared as PEP 440 orders them.
# (builtins.compareVersions puts 1.0rc1 after 1.0, and knows no epochs.)
let
  text = import ./text.nix;

  release = "([0-9]+([.][0-9]+)*)";
  pre = "([-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?([0-9]*))?";
  post = "(-([0-9]+)|[-_.]?(post|rev|r)[-_.]?([0-9]*))?";
  dev = "([-_.]?dev[-_.]?([0-9]*))?";
  local = "([+]([a-z0-9]+([-_.][a-z0-9]+)*))?";
  grammar = "v?(([0-9]+)!)?${release}${pre}${post}${dev}${local}";

  phase =
    name:
    if builtins.elem name [ "a" "alpha" ] then
      0
    else if builtins.elem name [ "b" "beta" ] then
      1
    else
      2;

  number = digits: if digits == null || digits == "" then 0 else text.toInt digits;

  # 1.0 and 1.0.0 are one version.
  withoutTrailingZeros =
    numbers:
    let
      count = builtins.length numbers;
    in
    if count > 1 && builtins.elemAt numbers (count - 1) == 0 then
      withoutTrailingZeros (text.take (count - 1) numbers)
    else
      numbers;

  # Four lists that compare one after the other as the version does, or null
  # for what PEP 440 does not allow.
  key =
    version:
    let
      groups = builtins.match grammar (text.toLower version);
      at = builtins.elemAt groups;
      isPre = at 4 != null;
      isPost = at 7 != null;
      isDev = at 11 != null;
    in
    if groups == null then
      null
    else
      {
        inherit isPre isDev;
        order = [
          ([ (number (at 1)) ] ++ withoutTrailingZeros (map number (text.splitOn "." (at 2))))
          (
            if isPre then
              [ 1 (phase (at 5)) (number (at 6)) ]
            else if isDev && !isPost then
              [ 0 ]
            else
              [ 2 ]
          )
          (
            if isPost then
              [ 1 (number (if at 8 != null then at 8 else at 10)) ]
            else
              [ 0 ]
          )
          (if isDev then [ 0 (number (at 12)) ] else [ 1 ])
          (
            if at 13 == null then
              [ ]
            else
              builtins.concatMap (
                part: if text.isDigits part then [ 1 (text.toInt part) "" ] else [ 0 0 part ]
              ) (builtins.filter builtins.isString (builtins.split "[-_.]" (at 14)))
          )
        ];
      };

  # The first difference of two lists of lists.
  compareKeys =
    a: b:
    if a == [ ] then
      0
    else
      let
        here = text.compareLists (builtins.head a) (builtins.head b);
      in
      if here != 0 then here else compareKeys (builtins.tail a) (builtins.tail b);
in
{
  /**
    By PEP 440, "Summary of permitted suffixes and relative ordering". What is
    no version there comes before all that are, and among its like as text.

    # Type

    ```
    compareVersions :: string -> string -> -1 | 0 | 1
    ```
  */
  compareVersions =
    a: b:
    let
      x = key a;
      y = key b;
    in
    if x == null || y == null then
      text.compareLists [ (if x == null then 0 else 1) (if x == null then a else "") ] [
        (if y == null then 0 else 1)
        (if y == null then b else "")
      ]
    else
      compareKeys x.order y.order;

  /**
    Whether a package may call itself `version` that is made from a wheel whose
    name says `wheelVersion`: equal by PEP 440, the wheel's local part named or
    not. What PEP 440 doesn't know (0-unstable-2024-01-01) agrees with all.

    # Type

    ```
    versionAgrees :: string -> string -> bool
    ```
  */
  versionAgrees =
    version: wheelVersion:
    let
      said = key version;
      # A wheel's name writes "-" as "_".
      found = key (builtins.replaceStrings [ "_" ] [ "-" ] wheelVersion);
      withoutLocal = order: text.take 4 order;
      hasLocal = builtins.elemAt said.order 4 != [ ];
    in
    if said == null || found == null then
      true
    else if hasLocal then
      said.order == found.order
    else
      withoutLocal said.order == withoutLocal found.order;

  /**
    Whether an installer passes it over while there is a final release.

    # Type

    ```
    isPrerelease :: string -> bool
    ```
  */
  isPrerelease =
    version:
    let
      parsed = key version;
    in
    parsed != null && (parsed.isPre || parsed.isDev);
}
