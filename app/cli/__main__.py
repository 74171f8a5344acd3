"""`python -m app.cli` is `scoreline`."""

from app.cli import main

main()
