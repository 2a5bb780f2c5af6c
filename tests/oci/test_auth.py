"""Challenges, tokens, and who is let in: against a token server that is short of patience."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgelift.demo.content import make_image
from edgelift.errors import DeniedError, RegistryError
from edgelift.oci.auth import Challenge, parse_challenges, parse_token
from edgelift.oci.credentials import Credential, Credentials
from edgelift.oci.pacing import Clock
from edgelift.oci.registry import Registry
from edgelift.serve.access import Login
from edgelift.transport import TransportSettings
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer
