"""Clothes-changing Re-ID by generative data expansion (DLCR, Siddiqui et al.): one idea a file."""
