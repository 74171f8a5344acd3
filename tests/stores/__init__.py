"""Stores: see tests/__init__.py."""
