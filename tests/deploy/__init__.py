"""How it is deployed: see tests/__init__.py."""
