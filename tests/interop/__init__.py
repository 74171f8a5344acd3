"""Other people's clients, unchanged: see tests/__init__.py."""
