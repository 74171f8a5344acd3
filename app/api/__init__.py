"""The HTTP API: a module for each resource, and the modules that they share."""
