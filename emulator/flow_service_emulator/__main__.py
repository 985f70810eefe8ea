"""`python -m flow_service_emulator` is the command `flow-service-emulator`."""

from __future__ import annotations

from flow_service_emulator.cli import main

raise SystemExit(main())
