"""Read, write and draw images and videos; render the demo scene."""
