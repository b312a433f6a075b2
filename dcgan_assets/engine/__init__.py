"""How a step becomes an artefact: it knows no asset, no source and no DVC."""
