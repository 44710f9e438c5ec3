"""Servers that speak as other clouds do."""
