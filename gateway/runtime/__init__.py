"""What both processes need of the machine they run on: supervision, logs, systemd, lag."""
