"""Programs that use Weave's SDK and count their own scores; each runs in its own process."""
