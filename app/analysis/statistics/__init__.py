"""Statistics: numbers in, figures out; imported only when they are asked for, with SciPy."""
