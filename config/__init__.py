"""What an operator can set, and how gunicorn serves."""
