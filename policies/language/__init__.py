"""The language of packs: from YAML to the model, with every problem named by field and line."""
