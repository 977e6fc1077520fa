"""What the gateway composes from several services: the overview and the merged documentation."""
