"""The shipped packs, one YAML file a scheme."""
