"""The tests mirror app/; a test's name is the promise that it holds."""
