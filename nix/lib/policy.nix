# The policies of data/manylinux-policies.json, which Python reads too.
let
  text = import ./text.nix;
  inherit (import ./platform.nix) parseFormat;

  data = (import ../data.nix).json "manylinux-policies.json";
in
rec {
  /**
    All that have a list of allowed libraries, the oldest of each family first.

    # Type

    ```
    policies :: [ { name, family, major, minor, version, legacy, sonames } ]
    ```
  */
  policies = map (name: parseFormat name // { inherit (data.policies.${name}) sonames; }) (
    builtins.sort (
      a: b:
      let
        x = parseFormat a;
        y = parseFormat b;
      in
      text.compareLists [ x.family x.major x.minor ] [ y.family y.major y.minor ] < 0
    ) (builtins.attrNames data.policies)
  );

  /**
    The policy that a format's libraries come from: PEP 600 allows every X_Y,
    and only some have a list, so the newest at or below it; below the first,
    the first. Null for what is no such format.

    # Type

    ```
    policyFor :: format -> null | policy
    ```
  */
  policyFor =
    format:
    let
      wanted = parseFormat format;
      family = builtins.filter (policy: policy.family == wanted.family) policies;
      older = builtins.filter (
        policy: text.compareLists [ policy.major policy.minor ] [ wanted.major wanted.minor ] <= 0
      ) family;
    in
    if wanted == null then
      null
    else if older == [ ] then
      builtins.head family
    else
      builtins.elemAt older (builtins.length older - 1);
}
