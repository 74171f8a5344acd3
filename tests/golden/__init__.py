"""Golden data and what makes it: see tests/__init__.py."""
