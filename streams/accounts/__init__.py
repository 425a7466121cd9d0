"""The ledger of accounts: store, postings, snapshots, day close, rows."""
