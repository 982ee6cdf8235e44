"""A buildPythonPackage expression for a wheel."""
