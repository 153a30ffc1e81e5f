"""The business database: engine, declarative base, migrations. Imports nothing but core."""
