"""`influencerctl verify`: the log folded again, and compared with what the database holds."""
