"""The plugin's former place, for environments that were installed before it moved. To be removed before a release."""

import sys

from flow_service_emulator.testing import pytest_plugin

sys.modules[__name__] = pytest_plugin
