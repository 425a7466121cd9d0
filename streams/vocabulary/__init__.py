"""The words that packs, records, files and kernels share, each list written once."""
