"""Read, check and repair data sets of images with outlined objects."""
