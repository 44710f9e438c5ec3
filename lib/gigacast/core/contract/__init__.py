"""Contracts of datasets: columns, types, rules, and the check of rows against them."""
