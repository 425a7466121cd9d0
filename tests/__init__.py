"""The tests; a package, so that twins and oracles can be imported by each other."""
