"""Schemas of requests and responses; they use neither a store nor a request."""
