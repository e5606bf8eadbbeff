"""Run the network, wherever it runs."""
