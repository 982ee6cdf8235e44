"""Fuzzers: ``python -m tests.fuzz --help`` for long runs, ``test_fuzz.py`` for CI."""
