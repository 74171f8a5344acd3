"""Settings: see tests/__init__.py."""
