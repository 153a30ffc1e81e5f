"""Process two: does business with the outlets. It may crash or be flooded; no outlet notices."""
