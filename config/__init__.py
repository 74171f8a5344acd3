"""The settings, and the configuration of gunicorn."""
