"""Black-box tests over HTTP: they can be pointed at any address with `--base-url`."""
