"""How fast the package is beside sentence-transformers: `python course.py bench`. No test asserts a time."""
