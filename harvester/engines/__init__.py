"""Who calls the stages: a pool of processes on this machine, or a cluster."""
