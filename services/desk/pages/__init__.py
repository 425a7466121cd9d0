"""Pages of the desk: today's cases, a book of customers, a customer."""
