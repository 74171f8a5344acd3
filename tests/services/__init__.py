"""Services: see tests/__init__.py."""
