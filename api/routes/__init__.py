"""One file for what the API offers about one thing."""
