"""Files that earlier versions wrote: see tests/__init__.py."""
