"""The pipeline around dcgan_models: sources, Dagster assets, checks, storage, DVC, the CLI."""
