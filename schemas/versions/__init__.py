"""Every released version of every contract, written by `python -m schemas.release`; the ids are in `../ids.json`."""
