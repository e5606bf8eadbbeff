"""Train the small model that is bundled with the package; needs the environment that `make export-env` makes."""
