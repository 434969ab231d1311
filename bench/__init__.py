"""Measures of the whole path beside nginx, in one run on one machine: `python -m bench`."""
