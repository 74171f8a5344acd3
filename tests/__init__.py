"""The tests mirror app/. A test is named after the behaviour that it checks."""
