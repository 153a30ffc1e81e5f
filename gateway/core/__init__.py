"""Shared words: ids, units, clock, errors, reasons, facts. Standard library only."""
