"""The gateway: the guard that keeps outlets safe, and what serves them to people."""
