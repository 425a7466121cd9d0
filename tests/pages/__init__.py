"""Pages in a real Chromium: what people see, with keyboard alone, in both languages, without a break of the page's policy."""
