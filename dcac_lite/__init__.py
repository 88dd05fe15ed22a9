"""dcac-lite: a runnable companion to the DCAC paper."""
