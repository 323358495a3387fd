"""Arguments and output only; every verb is one call on Cluster or Client."""
