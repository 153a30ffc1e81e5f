"""The HTTP API: turns requests into calls of services, and errors into problems."""
