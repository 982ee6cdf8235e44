{
  buildPythonPackage,
  fetchPypi,
  python,
}:
buildPythonPackage rec {
  pname = "numpy";
  version = "1.26.4";
  format = "manylinux2014";

  # One line for each interpreter and machine; the one that fits is fetched.
  # `nix-manylinux expr numpy==1.26.4` writes such a list.
  src = fetchPypi {
    pythonVersion = python.version;
    files = [
      {
        file = "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        hash = "sha256-Zm2/tuxoliwDOkUJQ97Ykb7S1U5nVeNeWDXWP09pMdU=";
      }
      {
        file = "numpy-1.26.4-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl";
        hash = "sha256-erVUASh7/slGztOXAMBTeW58wOOsvvCZk6mtKtumym4=";
      }
    ];
  };

  # Libraries beyond those of the policy: whatever the build says is missing.
  buildInputs = [ ];

  pythonImportsCheck = [ "numpy" ];
}
