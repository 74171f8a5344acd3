"""The shapes of what is sent and answered; they never read a store or a request."""
