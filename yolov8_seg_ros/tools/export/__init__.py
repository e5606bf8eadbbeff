"""Export a trained network as an int8 .tflite file with a raw head; needs the environment of `make export-env`."""
