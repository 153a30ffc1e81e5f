"""One file a step: revision, the one before, upgrade."""
