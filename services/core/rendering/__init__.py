"""What can draw an influencer."""
