"""HTTP: see tests/__init__.py."""
