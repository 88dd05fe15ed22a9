"""Commands around the method: train, verify, rehearse, reproduce."""
