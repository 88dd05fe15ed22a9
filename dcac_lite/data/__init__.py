"""Real data sets: where they are, how they lie, how they are decoded."""
