"""What stands in the API's bodies: names, units, bounds, examples."""
