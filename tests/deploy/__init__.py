"""Tests of deploy/, the documents and the lock files."""
