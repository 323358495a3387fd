"""Settings: YAML text, flags and environment into one frozen ClusterConfig."""
