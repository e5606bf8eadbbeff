"""Turn a trained network into an int8 .tflite file of ST's contract; needs the environment of `make export-env`."""
