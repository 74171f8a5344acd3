"""A real browser, headless, on a real service."""
