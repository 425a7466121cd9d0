"""Cases of customers whose money leaves: live, and settled by the closes (docs/alerts.md#cases)."""
