"""Shapes: see tests/__init__.py."""
