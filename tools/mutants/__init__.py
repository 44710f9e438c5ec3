"""Mutants: small changes of the code, which the tests of its module must notice."""
