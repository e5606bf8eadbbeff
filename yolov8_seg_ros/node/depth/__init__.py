"""The node that places objects in space."""
