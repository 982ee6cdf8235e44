# Small string and list functions, so that this library needs nothing but Nix:
# `import ./nix/lib` works with no nixpkgs at hand. Not part of what it exports.
rec {
  # The parts of `text` between each `separator` (one character).
  splitOn =
    separator: text: builtins.filter builtins.isString (builtins.split "[${separator}]" text);

  isDigits = text: builtins.match "[0-9]+" text != null;

  # fromJSON refuses leading zeros, which versions may have.
  toInt = digits: builtins.fromJSON (builtins.head (builtins.match "0*([0-9]+)" digits));

  toLower =
    let
      upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
      lower = "abcdefghijklmnopqrstuvwxyz";
      letters = text: builtins.genList (i: builtins.substring i 1 text) 26;
    in
    builtins.replaceStrings (letters upper) (letters lower);

  # Each run of characters that `class` (a bracket expression) matches, made one `by`.
  squeeze =
    class: by: text:
    builtins.concatStringsSep by (builtins.filter builtins.isString (builtins.split "${class}+" text));

  hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;

  hasSuffix =
    suffix: text:
    let
      start = builtins.stringLength text - builtins.stringLength suffix;
    in
    start >= 0 && builtins.substring start (-1) text == suffix;

  # From `first` down to `last`, both included; empty where `first` is lower.
  countDown =
    first: last: builtins.genList (i: first - i) (if first < last then 0 else first - last + 1);

  unique = builtins.foldl' (seen: x: if builtins.elem x seen then seen else seen ++ [ x ]) [ ];

  take =
    count: list:
    builtins.genList (builtins.elemAt list) (
      if count < builtins.length list then count else builtins.length list
    );

  # { "first" = 0; "second" = 1; }: the place of each string in a list, the first one where it repeats.
  positions =
    list:
    builtins.listToAttrs (
      builtins.genList (i: {
        name = builtins.elemAt list i;
        value = i;
      }) (builtins.length list)
    );

  # -1, 0 or 1 for two lists of numbers or strings, compared item by item; a
  # list that ends first is the lesser one.
  compareLists =
    a: b:
    let
      x = builtins.head a;
      y = builtins.head b;
    in
    if a == [ ] then
      if b == [ ] then 0 else -1
    else if b == [ ] then
      1
    else if x == y then
      compareLists (builtins.tail a) (builtins.tail b)
    else if x < y then
      -1
    else
      1;
}
