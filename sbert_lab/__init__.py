"""SBERT Lab: sentence encoders built, trained, measured and served in the open; the course is in `notebooks/`."""
