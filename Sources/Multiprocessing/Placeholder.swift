// The public API.
