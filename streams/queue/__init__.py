"""Who is called next at a branch, who may be called before whom, and how long it may take: numbers only, in whole seconds."""
