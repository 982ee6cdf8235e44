# fetchPypi as nixpkgs has it: two formats, one URL each, on an index that is nowhere.
{ lib, fetchurl }:
lib.makeOverridable (
  {
    format ? "setuptools",
    pname,
    version,
    python ? "py2.py3",
    abi ? "none",
    platform ? "any",
    dist ? "py2.py3",
    extension ? "tar.gz",
    sha256 ? "",
    hash ? "",
  }:
  fetchurl {
    inherit sha256 hash;
    url =
      let
        folder = "${lib.substring 0 1 pname}/${pname}";
      in
      if format == "wheel" then
        "https://pypi.invalid/packages/${dist}/${folder}/${pname}-${version}-${python}-${abi}-${platform}.whl"
      else if format == "setuptools" then
        "mirror://pypi/${folder}/${pname}-${version}.${extension}"
      else
        throw "Unsupported format ${format}";
  }
)
