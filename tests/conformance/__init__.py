"""Our two ends against scripted peers that speak reference protocol §2, §3 and §7 and nothing else."""
