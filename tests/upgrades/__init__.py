"""Stores that earlier versions wrote, and tests of their migration."""
