"""Tests of the protocol of Weave's SDK."""
