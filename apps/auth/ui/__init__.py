"""The pages of the auth service: rendered here, useful without JavaScript. Each view is a request, one call inward, an answer."""
