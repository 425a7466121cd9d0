"""Commands of the operator: servers, workers, closes, views, the demo."""
