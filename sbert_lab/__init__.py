"""SBERT Lab: sentence encoders built, trained, measured and served in the open. See the course in `notebooks/`."""
