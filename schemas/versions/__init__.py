"""Every released version of every contract; `schemas/ids.json` says which id it has. Written by `python -m schemas.release`."""
