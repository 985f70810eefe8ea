"""JSON Schemas as the service means them: what is wrong with a value, and where."""
