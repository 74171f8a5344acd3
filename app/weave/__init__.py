"""The protocol of Weave's SDK, and its projection to runs, predictions and scores."""
