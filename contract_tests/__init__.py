"""All tests. `api/` is black-box over HTTP; the rest may look inside."""
