"""The worker: real processes, raw sockets."""
