"""The cluster's CA, its certificates and kubeconfig, all as text."""
