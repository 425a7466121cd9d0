"""A guided fuzzer over what unpacks and decodes bytes from outside."""
