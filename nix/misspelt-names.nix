# lib, names -> attribute set -> [ sentence ], of the names in it that look like ours
# and are none, each with the one that has most of its beginning and end.
lib: names: attrs:
let
  looksLikeOurs =
    name: builtins.match "((dont(use)?)?manylinux|(dont)?autopatchelf).*" (lib.toLower name) != null;
  alike =
    n: a: b:
    if a != [ ] && b != [ ] && lib.head a == lib.head b then
      alike (n + 1) (lib.tail a) (lib.tail b)
    else
      { inherit n a b; };
  score =
    name: known:
    let
      start = alike 0 (characters name) (characters known);
    in
    (alike start.n (lib.reverseList start.a) (lib.reverseList start.b)).n;
  characters = text: lib.stringToCharacters (lib.toLower text);
  nearest = name: lib.head (lib.sort (a: b: score name a > score name b) names);
in
map (name: "no hook reads ${name}: is ${nearest name} meant?") (
  lib.filter (name: looksLikeOurs name && !(lib.elem name names)) (lib.attrNames attrs)
)
