"""Many runs side by side, gathered into tables."""
