"""What a record of an input must be by itself, whether it comes in a file or on its topic: texts, numbers, closed lists."""
