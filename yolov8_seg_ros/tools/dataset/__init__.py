"""Read, check and repair data sets of pictures with outlined objects."""
