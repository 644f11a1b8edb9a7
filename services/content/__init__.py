"""The content service: pictures for briefs; it knows influencers through the events alone."""
