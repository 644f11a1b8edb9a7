"""`influencerctl`: what an operator does."""
