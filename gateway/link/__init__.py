"""How the two processes speak: commands by socket, facts by file."""
