"""Operating the service: reloads, switches, status, runs, and the processes of one fleet."""
