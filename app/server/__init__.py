"""The worker process: HTTP from sockets to the WSGI application and back, inside gunicorn."""
