"""The service's operations, as functions of a store and plain values; no HTTP, no database."""
