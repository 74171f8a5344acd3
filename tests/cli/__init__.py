"""The command line: see tests/__init__.py."""
