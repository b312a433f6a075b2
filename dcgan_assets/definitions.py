"""The code location that workspace.yaml names: the assets of the workspace it is loaded in."""

from dcgan_assets.assets.catalogue import build_definitions, open_catalogue
from dcgan_assets.engine.workspace import Workspace

defs = build_definitions(open_catalogue(Workspace.find()))
