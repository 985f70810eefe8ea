"""What stands around every request: connections, middleware, injected faults."""
