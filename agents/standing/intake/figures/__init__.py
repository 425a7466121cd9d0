"""What is kept by month because packs ask for it so: facts, and flows out of postings."""
