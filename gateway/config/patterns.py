"""Forms of text in files that people write. Each is explained in words by ``explain``."""

HOST_PATTERN = r"^[0-9A-Za-z.:_-]{1,253}$"
"""A host name, an IPv4 or an IPv6 address."""
TITLE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
"""One line: what could break a table or a terminal is left out (controls, line separators,
embeddings and overrides of the writing direction)."""
GROUP_PATTERN = r"^[a-z_][a-z0-9_-]{0,31}$"
TOPIC_PATTERN = r"^[^+#\x00-\x1f\x7f]{1,200}$"
CLIENT_PATTERN = r"^[0-9A-Za-z._-]{1,64}$"
